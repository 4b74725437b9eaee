"""Payloads about as large as Lambda and its front doors take, each way, and JSON that is deep, long or malformed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from copy import replace
from typing import Any

import numpy as np
import pytest
import urllib3

from classifier.arrays import floats
from classifier.bundles.scores import Head
from classifier.bundles.serving import Serving
from classifier.pictures.preprocessing import Preprocessing
from classifier.web import events
from local.fronts import FunctionUrl, HttpApi, LoadBalancer, RestApi
from local.runtime_api import MAX_EVENT_BYTES, MAX_REPLY_BYTES
from local.s3 import LocalS3
from local.seed import seed_compiled
from tests.support.application import MODEL, Running, http, picture
from tests.support.application import start as start
from tests.support.demo import SAMPLES, Demo, demo
from tests.support.events import recorded
from tools.chaos.models import prepare

HTTP = urllib3.PoolManager(timeout=60, retries=False)
PICTURE = SAMPLES[0].read_bytes()
ENVELOPE = 3000
"""More bytes than an event has around its body."""
JUST_UNDER = (MAX_EVENT_BYTES - ENVELOPE) * 3 // 4
JUST_OVER = MAX_EVENT_BYTES * 3 // 4 - 100
FRONTS = (HttpApi(), RestApi(), FunctionUrl())


@pytest.fixture(scope="module")
def served(s3_server: LocalS3) -> Iterator[Demo]:
    bundle = prepare().bundles[0]
    with demo(s3_server, "payloads", bundle) as running:
        seed_compiled(running.s3, running.models, running.prefix, bundle)
        yield running


def post(url: str, body: bytes, content_type: str = "image/jpeg") -> tuple[int, Any]:
    answer = HTTP.request("POST", f"{url}/classify", body=body, headers={"content-type": content_type})
    return answer.status, answer.json()


@pytest.mark.lambda_
@pytest.mark.tensorflow
@pytest.mark.parametrize("front", FRONTS, ids=lambda front: type(front).__name__)
def test_a_picture_just_under_6_mb_is_classified_and_one_just_over_is_the_front_doors_to_refuse(
    served: Demo, front: HttpApi
) -> None:
    url = served.cloud.open(front)
    status, answer = post(url, PICTURE.ljust(JUST_UNDER, b"\0"))
    assert (status, answer["predictions"][0]["label"]) == (200, "pants")
    before = len(served.cloud.reports)
    status, answer = post(url, PICTURE.ljust(JUST_OVER, b"\0"))
    assert status == 413
    assert len(served.cloud.reports) == before
    assert post(url, PICTURE)[0] == 200


@pytest.mark.lambda_
@pytest.mark.tensorflow
def test_an_event_of_exactly_6_mb_is_classified(served: Demo) -> None:
    room = MAX_EVENT_BYTES - len(json.dumps({"image": "", "pad": ""}))
    image = base64.b64encode(PICTURE.ljust((room - 100) * 3 // 4 // 3 * 3, b"\0")).decode()
    event = {"image": image, "pad": "x" * (room - len(image))}
    assert len(json.dumps(event)) == MAX_EVENT_BYTES
    answer: Any = served.cloud.invoke(event)
    assert answer["predictions"][0]["label"] == "pants"


@pytest.mark.lambda_
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"[" * 5_000_000, "application/json", "invalid_request"),
        (b'{"a":' * 800_000, "application/json", "invalid_request"),
        (b'{"image": "' + b"A" * 4_000_001 + b'"}', "application/json", "invalid_request"),
        (b'{"image": "' + b"*" * 4_000_000 + b'"}', "application/json", "invalid_request"),
        (b'{"top": ' + b"9" * 4_000_000 + b"}", "application/json", "invalid_request"),
        (b"{" + b'"a": 1,' * 600_000 + b'"b": 1}', "application/json", "invalid_request"),
        (b"--b\r\n" * 800_000, "multipart/form-data; boundary=b", "invalid_request"),
        (b"--b\r\nA: " + b"x" * 4_000_000, "multipart/form-data; boundary=b", "invalid_request"),
        (b"a=1&" * 1_000_000, "application/x-www-form-urlencoded", "invalid_request"),
        (b"x" * 4_000_000, "image/png", "unsupported_image_format"),
        (b"\xff\xd8\xff" + b"\xff" * 4_000_000, "image/jpeg", "invalid_image"),
    ],
)
def test_large_nonsense_is_refused_and_the_sandbox_serves_on(
    served: Demo, body: bytes, content_type: str, code: str
) -> None:
    status, answer = post(served.cloud.url, body, content_type)
    assert (status // 100, answer["error"]["code"]) == (4, code)
    assert served.cloud.reports[-1].status == "success"
    assert served.cloud.reports[-1].max_memory_mb < 400
    assert post(served.cloud.url, PICTURE)[0] == 200


def large(labels: int, length: int, start: Callable[..., Running]) -> Running:
    """An application whose model has so many labels of such a length."""
    names = tuple(f"{number:0{length}}" for number in range(labels))
    raw = floats(np.linspace(0, 1, labels, dtype=np.float32))
    head = Head("", names, "softmax", 5, labels, "")
    serving = Serving((head,), Preprocessing(size=(8, 8)), (8, 8, 3))

    class Engine:
        name = "tiny"

        def predict(self, _: object) -> Any:
            return raw

    running = start()
    running.models.served = replace(MODEL, serving=serving, engine=Engine())
    return running


def several(count: int, **more: object) -> dict[str, Any]:
    body = json.dumps({"images": [{"image": base64.b64encode(picture()).decode()}] * count, **more})
    return http("POST", headers={"content-type": "application/json"}, body=body)


def test_a_reply_that_lambda_could_not_return_is_the_callers_to_make_smaller(
    start: Callable[..., Running],
) -> None:
    running = large(10_000, 40, start)
    answer = running.ask(several(10, top=10_000))
    error = json.loads(answer["body"])["error"]
    assert (answer["statusCode"], error["code"]) == (400, "invalid_request")
    assert "at most 6291556" in error["message"]
    assert running.ask(several(3, top=10_000))["statusCode"] == 200
    answer = running.ask({"images": [{"image": base64.b64encode(picture()).decode()}] * 10, "top": 10_000})
    assert answer["status"] == 400


@pytest.mark.parametrize(("labels", "status"), [(60_000, 200), (130_000, 400)])
def test_labels_that_no_reply_can_hold_are_no_failure_of_ours(
    labels: int, status: int, start: Callable[..., Running]
) -> None:
    answer = large(labels, 60, start).ask(http(path="/model"))
    assert answer["statusCode"] == status
    assert len(json.dumps(answer, ensure_ascii=False)) <= MAX_REPLY_BYTES


def test_a_load_balancer_takes_replies_of_1_mb(start: Callable[..., Running]) -> None:
    running = large(10_000, 200, start)
    event = recorded("load_balancer", path="/model", queryStringParameters={})
    assert running.ask(event)["statusCode"] == 400
    assert running.ask(http(path="/model"))["statusCode"] == 200


def test_limits_of_replies_are_lambdas_and_the_load_balancers_as_the_local_ones_have_them() -> None:
    assert events.LAMBDA_REPLY_BYTES == MAX_REPLY_BYTES
    assert LoadBalancer().max_body_bytes == events.LOAD_BALANCER_REPLY_BYTES
