"""Several pictures in one request: each its own result or error, in order, by one model."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from copy import replace
from typing import Any

import pytest

from classifier.errors import (
    ClassifierError,
    FetchStatusError,
    ImageTooLargeError,
    MissingInputError,
    ModelLoadingError,
    RequestError,
)
from classifier.web.events import Request
from classifier.web.questions import read_question
from classifier.web.sources import Batch, Key, Link, Question, Upload
from tests.support.application import MODEL, Context, Models, Running, http, lines, picture
from tests.support.application import start as start
from tests.support.origin import reply
from tests.support.pictures import large_canvas_webp

RED, BLUE = picture(), picture("JPEG", (0, 0, 255))
RED64, BLUE64 = (base64.b64encode(data).decode() for data in (RED, BLUE))
MAX = 1000


def batch(images: object, **fields: Any) -> dict[str, Any]:
    """A POST with several pictures."""
    return http("POST", headers={"content-type": "application/json"}, body=json.dumps({"images": images, **fields}))


def read(document: dict[str, Any], query: tuple[tuple[str, str], ...] = ()) -> Question | Batch:
    request = Request(method="POST", path="/classify", headers={}, document=document, query=query)
    return read_question(request, MAX, 3).question


def fetcher(pictures: dict[str, bytes]) -> Callable[[str, float], bytes]:
    def fetch(link: str, _deadline: float) -> bytes:
        if link not in pictures:
            raise FetchStatusError(f"{link}: 404")
        return pictures[link]

    return fetch


def outcome(result: dict[str, Any]) -> str:
    """The best label, or the error's code."""
    return str(result["error"]["code"] if "error" in result else result["predictions"][0]["label"])


def test_each_way_in_is_answered_in_order_by_one_model(start: Callable[..., Running]) -> None:
    running = start(fetch=fetcher({"http://h/blue.jpg": BLUE}), s3=reply(RED))
    images = [{"imagelink": "http://h/blue.jpg"}, {"s3key": "images/a.png"}, {"image": BLUE64}, {"image": RED64}]
    body = running.body(batch(images))
    assert [outcome(result) for result in body["results"]] == ["blue", "red", "blue", "red"]
    assert [result["image"]["source"] for result in body["results"]] == ["imagelink", "s3key", "upload", "upload"]
    assert body["model"] == {"name": "things", "version": "0123456789abcdef", "engine": "tiny"}
    assert (body["request_id"], body["cold_start"], len(running.models.deadlines)) == ("r-1", True, 1)


def test_each_result_is_what_the_picture_alone_gets(start: Callable[..., Running]) -> None:
    running = start()
    results = running.body(batch([{"image": RED64}, {"image": BLUE64}]))["results"]
    for result, data in zip(results, (RED64, BLUE64), strict=True):
        alone = running.body(
            http("POST", headers={"content-type": "application/json"}, body=json.dumps({"image": data}))
        )
        assert result == {key: alone[key] for key in ("predictions", "image")}


def test_a_refused_picture_fails_no_other_and_has_the_error_that_it_alone_would_have(
    start: Callable[..., Running],
) -> None:
    running = start(fetch=fetcher({"http://h/big.png": b"\xff" * 1001}), MAX_IMAGE_BYTES="1000")
    images: list[Any] = [
        {"image": RED64},
        {"imagelink": "http://h/missing.jpg"},
        {"image": base64.b64encode(b"hello").decode()},
        {"image": base64.b64encode(RED[:45]).decode()},
        {"image": base64.b64encode(b"\xff" * 1001).decode()},
        {"image": "%"},
        {"s3key": "models/x"},
        {"s3key": "images/x"},
        {},
        {"image": RED64, "s3key": "images/x"},
        {"image": RED64, "top": 0},
        {"images": [{"image": RED64}]},
        "http://h/",
        None,
        {"image": BLUE64},
    ]
    answer = running.ask(batch(images))
    results = json.loads(answer["body"])["results"]
    assert answer["statusCode"] == 200
    assert [outcome(result) for result in results] == [
        "red",
        "fetch_http_status",
        "unsupported_image_format",
        "invalid_image",
        "image_too_large",
        "invalid_request",
        "invalid_s3_key",
        "s3_object_not_found",
        "missing_input",
        "ambiguous_input",
        "invalid_request",
        "invalid_request",
        "invalid_request",
        "invalid_request",
        "blue",
    ]
    for image, result in zip(images, results, strict=True):
        if "error" in result and isinstance(image, dict):
            alone = running.ask(http("POST", headers={"content-type": "application/json"}, body=json.dumps(image)))
            if "images" not in image:
                assert result["error"] == json.loads(alone["body"])["error"]
                assert result["status"] == alone["statusCode"]


def test_no_model_is_loaded_when_every_picture_is_refused(start: Callable[..., Running]) -> None:
    running = start()
    body = running.body(batch([{"s3key": "models/x"}, {"image": "aGVsbG8="}]))
    assert [outcome(result) for result in body["results"]] == ["invalid_s3_key", "unsupported_image_format"]
    assert (body["model"], running.models.deadlines) == (None, [])


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (batch([]), 400, "missing_input"),
        (batch({"image": RED64}), 400, "invalid_request"),
        (batch("http://h/"), 400, "invalid_request"),
        (batch([{"image": RED64}] * 4), 400, "invalid_request"),
        (batch([{"image": RED64}], image=RED64), 400, "ambiguous_input"),
        (batch([{"image": RED64}], top=0), 400, "invalid_request"),
        (http(query="images=a"), 400, "invalid_request"),
    ],
)
def test_a_request_that_is_no_batch_is_refused_whole(
    event: dict[str, Any], status: int, code: str, start: Callable[..., Running]
) -> None:
    running = start(MAX_BATCH_IMAGES="3")
    answer = running.ask(event)
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (status, code)
    assert running.models.deadlines == []


def test_as_many_pictures_as_the_limit_says_are_taken(start: Callable[..., Running]) -> None:
    assert len(start(MAX_BATCH_IMAGES="3").body(batch([{"image": RED64}] * 3))["results"]) == 3
    assert len(start().body(batch([{"image": RED64}] * 32))["results"]) == 32
    assert start().ask(batch([{"image": RED64}] * 33))["statusCode"] == 400


def test_pictures_beyond_the_bytes_of_a_request_are_refused_in_order(start: Callable[..., Running]) -> None:
    limit = str(len(RED) * 2)
    results = start(MAX_BATCH_BYTES=limit).body(batch([{"image": RED64}] * 4))["results"]
    assert [outcome(result) for result in results] == ["red", "red", "image_too_large", "image_too_large"]
    assert limit in results[2]["error"]["message"]


def test_top_is_everyones_unless_a_picture_has_its_own(start: Callable[..., Running]) -> None:
    results = start().body(batch([{"image": RED64}, {"image": RED64, "top": 2}], top=1))["results"]
    assert [len(result["predictions"]) for result in results] == [1, 2]


def test_a_direct_event_takes_several_pictures_too(start: Callable[..., Running]) -> None:
    body = start().ask({"images": [{"image": BLUE64}, {"image": "%"}], "top": 1})
    assert [outcome(result) for result in body["results"]] == ["blue", "invalid_request"]
    assert "status" not in body


def test_pictures_are_fetched_side_by_side_but_never_too_many(start: Callable[..., Running]) -> None:
    together = threading.Barrier(8, timeout=20)
    running_now, most, lock = [0], [0], threading.Lock()

    def fetch(_link: str, _deadline: float) -> bytes:
        with lock:
            running_now[0] += 1
            most[0] = max(most[0], running_now[0])
        together.wait()
        with lock:
            running_now[0] -= 1
        return RED

    body = start(fetch=fetch).body(batch([{"imagelink": f"http://h/{index}"} for index in range(16)]))
    assert [outcome(result) for result in body["results"]] == ["red"] * 16
    assert most == [8]


def test_a_model_that_is_not_there_fails_the_whole_request(start: Callable[..., Running]) -> None:
    running = start(fetch=fetcher({}))
    running.models.failure = ModelLoadingError("not yet")
    answer = running.ask(batch([{"imagelink": "http://h/"}, {"image": RED64}]))
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "5")


def test_the_deadline_is_one_for_all_pictures(start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_models: Models, deadline: float) -> Any:
        time.sleep(max(0.0, deadline - time.monotonic()))
        return MODEL

    monkeypatch.setattr(Models, "acquire", slow)
    answer = start().ask(batch([{"image": RED64}] * 3), Context(remaining_ms=700))
    results = json.loads(answer["body"])["results"]
    assert [(result["status"], outcome(result)) for result in results] == [(503, "processing_timeout")] * 3


def test_a_model_that_is_exchanged_meanwhile_answers_none_of_the_pictures(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = iter(range(10))
    monkeypatch.setattr(Models, "acquire", lambda _self, _deadline: replace(MODEL, version=f"{next(versions):016x}"))
    body = start().body(batch([{"image": RED64}] * 3))
    assert body["model"]["version"] == "0" * 16
    assert next(versions) == 1


def test_a_batch_is_one_line_of_the_log(start: Callable[..., Running], capsys: pytest.CaptureFixture[str]) -> None:
    start().ask(batch([{"image": RED64}, {"s3key": "models/sesame"}]))
    (line,) = lines(capsys)
    assert (line["level"], line["pictures"], line["refused"]) == ("info", 2, ["invalid_s3_key"])
    assert "sesame" not in json.dumps(line)


def test_a_batch_is_read_with_each_error_in_its_place() -> None:
    found = read({"images": [{"imagelink": "http://h/"}, {"s3key": "k", "top": 2}, {"image": "A"}], "top": 4})
    assert isinstance(found, Batch)
    assert found.questions[:2] == (Question(Link("http://h/"), 4), Question(Key("k"), 2))
    assert type(found.questions[2]) is RequestError


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"image": base64.b64encode(b"x" * MAX).decode()}, Question(Upload(b"x" * MAX), None)),
        ({"image": base64.b64encode(b"x" * (MAX + 1)).decode()}, ImageTooLargeError),
        ({"image": ""}, MissingInputError),
        ({"imagelink": 5}, RequestError),
        ([], RequestError),
    ],
)
def test_one_of_several_is_read_as_one_alone(item: Any, expected: Question | type[ClassifierError]) -> None:
    found = read({"images": [item]})
    assert isinstance(found, Batch)
    (question,) = found.questions
    assert question == expected or type(question) is expected


LARGE64 = base64.b64encode(large_canvas_webp()).decode()


def test_dear_pictures_take_no_others_time(start: Callable[..., Running]) -> None:
    """A hundred bytes that may take three seconds each: what is cheap is answered, wherever it stands."""
    event = batch([*[{"image": LARGE64}] * 15, {"image": RED64}, *[{"image": LARGE64}] * 15, {"image": BLUE64}])
    results = json.loads(start().ask(event, Context(remaining_ms=3000))["body"])["results"]
    late = ["processing_timeout"] * 15
    assert [outcome(result) for result in results] == [*late, "red", *late, "blue"]
    assert "send it alone" in results[0]["error"]["message"]


def test_dear_pictures_are_decoded_while_there_is_time_for_them(start: Callable[..., Running]) -> None:
    body = start().body(batch([{"image": base64.b64encode(large_canvas_webp(2000)).decode()}, {"image": RED64}]))
    assert all("predictions" in result for result in body["results"])
    assert [result["image"]["width"] for result in body["results"]] == [2000, 20]
