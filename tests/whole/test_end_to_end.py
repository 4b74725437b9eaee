"""The main job, whole: every sample through every way in and every front door, with plain Keras as the reference."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import urllib3

from local.fronts import HttpApi, RestApi
from local.s3 import LocalS3
from tests.support.demo import BUNDLE, SAMPLES, Demo, content_type, demo, key_of, plain_keras
from tests.support.origin import Origin, reply

pytestmark = [pytest.mark.lambda_, pytest.mark.tensorflow]
LABELS: list[str] = json.loads((BUNDLE / "serving.json").read_text())["labels"]
HTTP = urllib3.PoolManager(timeout=60, retries=False)

type Send = Callable[[str, Path], Any]


@pytest.fixture(scope="module", params=["tensorflow", "litert"])
def served(request: pytest.FixtureRequest, s3_server: LocalS3) -> Iterator[Demo]:
    with demo(s3_server, f"e2e-{request.param}", ENGINE="auto") as running:
        if request.param == "litert":
            assert running.compile()["usable"]
        yield running


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    pictures = {f"/{sample.name}": reply(sample.read_bytes(), "Content-Type: image/jpeg") for sample in SAMPLES}
    with Origin(pictures) as running:
        yield running


def post(address: str, body: bytes, kind: str) -> Any:
    answer = HTTP.request("POST", f"{address}/classify?top=10", body=body, headers={"content-type": kind})
    return answer.json()


def get(address: str, **parameters: str) -> Any:
    return HTTP.request("GET", f"{address}/classify?{urlencode(parameters | {'top': '10'}, quote_via=quote)}").json()


def link_to(origin: Origin, sample: Path) -> str:
    return origin.url(f"/{sample.name}")


def multipart(sample: Path) -> tuple[bytes, str]:
    body, kind = urllib3.encode_multipart_formdata({"file": (sample.name, sample.read_bytes(), "image/jpeg")})
    return body, kind


def ways(origin: Origin) -> dict[str, Send]:
    return {
        "link": lambda address, sample: get(address, imagelink=link_to(origin, sample)),
        "key": lambda address, sample: get(address, s3key=key_of(sample)),
        "bytes": lambda address, sample: post(address, sample.read_bytes(), content_type(sample)),
        "form": lambda address, sample: post(address, *multipart(sample)),
        "base64": lambda address, sample: post(
            address, json.dumps({"image": encoded(sample)}).encode(), "application/json"
        ),
    }


def encoded(sample: Path) -> str:
    return base64.b64encode(sample.read_bytes()).decode()


def scores(answer: Any) -> list[float]:
    assert "predictions" in answer, answer
    by_label = {item["label"]: item["score"] for item in answer["predictions"]}
    ordered = [item["score"] for item in answer["predictions"]]
    assert ordered == sorted(ordered, reverse=True)
    return [by_label[label] for label in LABELS]


@pytest.mark.parametrize("way", ["link", "key", "bytes", "form", "base64"])
@pytest.mark.parametrize("front", ["http-api", "rest-api"])
def test_every_sample_over_http_scores_as_plain_keras_does(served: Demo, origin: Origin, front: str, way: str) -> None:
    address = served.cloud.open(HttpApi() if front == "http-api" else RestApi())
    send = ways(origin)[way]
    for sample in SAMPLES:
        assert scores(send(address, sample)) == pytest.approx(plain_keras()[sample.name], abs=1e-5)


def test_every_sample_by_direct_invocation_scores_as_plain_keras_does(served: Demo, origin: Origin) -> None:
    for sample in SAMPLES:
        for event in ({"imagelink": link_to(origin, sample)}, {"s3key": key_of(sample)}, {"image": encoded(sample)}):
            answer = served.cloud.invoke({**event, "top": 10})
            assert scores(answer) == pytest.approx(plain_keras()[sample.name], abs=1e-5)


def test_the_reply_says_what_it_is_and_who_computed_it(served: Demo, request: pytest.FixtureRequest) -> None:
    sample = SAMPLES[0]
    get(served.cloud.url, s3key=key_of(sample))
    response = HTTP.request("GET", f"{served.cloud.url}/classify?s3key={quote(key_of(sample), safe='')}&top=2")
    answer = response.json()
    engine = request.node.callspec.params["served"]
    assert [*answer] == ["predictions", "model", "image", "cold_start", "timings_ms", "request_id"]
    assert answer["model"]["engine"] == engine
    assert len(answer["predictions"]) == 2
    assert answer["image"] | {"width": 0, "height": 0} == {"source": "s3key", "format": "JPEG", "width": 0, "height": 0}
    assert answer["cold_start"] is False
    assert [*answer["timings_ms"]] == ["fetch", "decode", "infer", "total"]
    assert [part.split(";")[0] for part in response.headers["server-timing"].split(", ")] == [*answer["timings_ms"]]


def test_a_terminal_gets_lines(served: Demo) -> None:
    url = f"{served.cloud.url}/classify?s3key={quote(key_of(SAMPLES[0]), safe='')}&top=1"
    text = HTTP.request("GET", url, headers={"accept": "text/plain"}).data.decode()
    best = max(zip(plain_keras()[SAMPLES[0].name], LABELS, strict=True))
    assert text == f"{best[1]} (score = {best[0]:.5f})\n"


def test_the_model_and_the_health_of_the_function_can_be_asked(served: Demo) -> None:
    get(served.cloud.url, s3key=key_of(SAMPLES[0]))
    health = HTTP.request("GET", f"{served.cloud.url}/health").json()
    model = HTTP.request("GET", f"{served.cloud.url}/model").json()
    assert health["state"] == "warm"
    assert health["model"] == {name: model[name] for name in ("name", "version", "engine")}
    assert model["labels"] == LABELS


def test_only_the_tensorflow_engine_maps_anything_of_tensorflow(served: Demo, request: pytest.FixtureRequest) -> None:
    get(served.cloud.url, s3key=key_of(SAMPLES[0]))
    mapped = ["/tensorflow/" in Path(f"/proc/{sandbox.pid}/maps").read_text() for sandbox in served.cloud.sandboxes]
    assert mapped
    assert set(mapped) == {request.node.callspec.params["served"] == "tensorflow"}
