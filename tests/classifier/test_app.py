"""The application from event to reply, with a tiny engine and no TensorFlow."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from classifier.errors import ModelError
from tests.support.application import MODEL, Context, Running, http, lines, picture, upload
from tests.support.application import start as start
from tests.support.events import recorded
from tests.support.origin import reply

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_first_reply_says_that_it_was_cold_and_what_loading_took(start: Callable[..., Running]) -> None:
    running = start()
    first, second = running.body(upload(picture())), running.body(upload(picture("JPEG")))
    assert first | {"timings_ms": {}} == {
        "predictions": [{"label": "red", "score": 1.0}, {"label": "blue", "score": 0.0}],
        "model": {"name": "things", "version": "0123456789abcdef", "engine": "tiny"},
        "image": {"source": "upload", "format": "PNG", "width": 20, "height": 10},
        "cold_start": True,
        "timings_ms": {},
        "request_id": "r-1",
    }
    assert list(first["timings_ms"]) == ["pull", "build", "fetch", "load", "decode", "infer", "total"]
    assert (second["cold_start"], second["image"]["format"]) == (False, "JPEG")
    assert list(second["timings_ms"]) == ["fetch", "decode", "infer", "total"]


@pytest.mark.parametrize(
    ("event", "source"),
    [
        (http(query="imagelink=http://h/a.png"), "imagelink"),
        (http(query="s3key=images/a.png"), "s3key"),
        (upload(picture()), "upload"),
        ({"image": base64.b64encode(picture()).decode()}, "upload"),
        ({"imagelink": "http://h/a.png"}, "imagelink"),
    ],
)
def test_each_way_in_gives_the_same_predictions(
    event: dict[str, Any], source: str, start: Callable[..., Running]
) -> None:
    answer = start(fetch=lambda _link, _deadline: picture(), s3=reply(picture())).ask(event)
    body = json.loads(answer["body"]) if "body" in answer else answer
    assert body["predictions"] == [{"label": "red", "score": 1.0}, {"label": "blue", "score": 0.0}]
    assert body["image"]["source"] == source


def test_text_replies_and_top(start: Callable[..., Running]) -> None:
    answer = start().ask(upload(picture(), query="top=1", accept="text/plain"))
    assert (answer["statusCode"], answer["body"]) == (200, "red (score = 1.00000)\n")
    assert answer["headers"]["x-model-version"] == "0123456789abcdef"


def test_a_direct_invocation_gets_the_body_with_its_status(start: Callable[..., Running]) -> None:
    running = start()
    assert running.ask({"image": base64.b64encode(picture()).decode(), "top": 1})["predictions"][0]["label"] == "red"
    refused = running.ask({"s3key": "images/x"})
    assert (refused["status"], refused["error"]["code"], refused["request_id"]) == (404, "s3_object_not_found", "r-1")
    assert running.ask([1, 2])["error"]["code"] == "invalid_request"
    assert running.ask(None)["status"] == 400


def test_head_is_get_without_a_body_also_when_it_fails(start: Callable[..., Running]) -> None:
    running = start()
    for path, status in (("/", 200), ("/health", 200), ("/classify", 400), ("/nope", 404)):
        answer = running.ask(http("HEAD", path))
        assert (answer["statusCode"], answer["body"]) == (status, "")
        assert answer["headers"]["content-type"]


def test_health_loads_nothing_and_says_what_is_warm(start: Callable[..., Running]) -> None:
    running = start()
    cold = {"status": "ok", "state": "cold", "model": None, "request_id": "r-1"}
    assert running.body(http(path="/health")) == cold
    assert running.models.deadlines == []
    running.ask(upload(picture()))
    named = {"name": "things", "version": "0123456789abcdef", "engine": "tiny"}
    assert running.body(http(path="/health/")) == {**cold, "state": "warm", "model": named}


def test_the_request_that_waits_for_the_model_shows_it_even_if_it_is_not_the_first(
    start: Callable[..., Running],
) -> None:
    running = start()
    running.ask(http(path="/health"))
    body = running.body(upload(picture()))
    assert (body["cold_start"], "load" in body["timings_ms"], "build" in body["timings_ms"]) == (False, True, True)


def test_model_describes_what_would_answer(start: Callable[..., Running]) -> None:
    body = start().body(http(path="/model"))
    assert body["labels"] == ["red", "blue"]
    assert body["input_shape"] == [8, 8, 3]
    assert body["published"] == "2026-03-10T05:16:23Z"
    assert (body["version"], body["engine"], body["output"], body["top_k"]) == (
        "0123456789abcdef",
        "tiny",
        "softmax",
        5,
    )


@pytest.mark.parametrize(
    ("ago", "remaining_ms", "direct", "expected"),
    [
        (0, 60_000, False, 27.0),
        (5, 60_000, False, 22.0),  # the gateway's clock has run since start-up began
        (0, 10_000, False, 9.5),
        (5, 60_000, True, 59.5),
    ],
)
def test_the_deadline_is_the_gateways_or_the_functions_whichever_comes_first(
    ago: float, remaining_ms: int, direct: bool, expected: float, start: Callable[..., Running]
) -> None:
    running = start(started=time.monotonic() - ago)
    event = {"image": base64.b64encode(picture()).decode()} if direct else upload(picture())
    running.ask(event, Context(remaining_ms=remaining_ms))
    running.ask(upload(picture()))
    assert running.models.deadlines == [pytest.approx(expected, abs=1), pytest.approx(27, abs=1)]


def test_a_function_started_in_advance_owes_its_first_caller_the_whole_time(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.app.STRAIGHT_ON_S", -1.0)  # every request comes later than straight on
    running = start(started=time.monotonic() - 3600)
    assert json.loads(running.ask(upload(picture()))["body"])["cold_start"] is True
    assert running.models.deadlines == [pytest.approx(27, abs=1)]


def test_the_time_of_init_counts_for_a_caller_who_waited_for_it(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.app.STRAIGHT_ON_S", 0.5)
    running = start(started=time.monotonic() - 6)
    running.models.init_s = 0.6
    running.app.prepare("on-demand")
    del running.models.deadlines[:]  # of the rehearsal
    running.ask(upload(picture()))
    assert running.models.deadlines == [pytest.approx(27 - 6.6, abs=0.5)]


@pytest.mark.parametrize("formats", ["PNG", "JPEG,PNG"])
@pytest.mark.parametrize("initialization", ["on-demand", "provisioned-concurrency"])
def test_init_leaves_a_model_that_has_answered(
    start: Callable[..., Running], formats: str, initialization: str
) -> None:
    running = start(IMAGE_FORMATS=formats)
    running.app.prepare(initialization)
    assert running.models.current is MODEL
    assert len(running.models.deadlines) == (formats != "PNG") + (initialization == "provisioned-concurrency")


@pytest.mark.parametrize("initialization", ["on-demand", "provisioned-concurrency"])
def test_init_never_fails_because_a_model_does(start: Callable[..., Running], initialization: str) -> None:
    running = start()
    running.models.failure = ModelError("broken")
    running.app.prepare(initialization)
    assert running.models.current is None
    assert json.loads(running.ask(upload(picture()))["body"])["error"]["code"] == "model_invalid"


def test_each_request_is_one_line_of_the_log(start: Callable[..., Running], capsys: pytest.CaptureFixture[str]) -> None:
    start().ask(upload(picture()))
    (line,) = lines(capsys)
    assert {
        key: line[key] for key in ("level", "message", "request_id", "route", "status", "source", "cold_start")
    } == {
        "level": "info",
        "message": "request",
        "request_id": "r-1",
        "route": "POST /classify",
        "status": 200,
        "source": "upload",
        "cold_start": True,
    }
    assert (line["version"], line["engine"]) == ("0123456789abcdef", "tiny")
    assert line["total_ms"] > 0


@pytest.mark.parametrize("name", ["http_api", "rest_api", "rest_api_base_path", "function_url", "load_balancer"])
def test_every_front_door_is_answered(name: str, start: Callable[..., Running]) -> None:
    answer = start(fetch=lambda _link, _deadline: picture()).ask(recorded(name))
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "application/json"
    assert json.loads(answer["body"])["predictions"][0]["label"] == "red"


@pytest.mark.parametrize("path", ["/health", "/model"])
def test_that_the_newest_model_is_refused_is_told_without_what_is_internal(
    path: str, start: Callable[..., Running]
) -> None:
    running = start()
    plain = running.body(http(path=path))
    running.models.refusal = ModelError("layer 'x' at s3://secret")
    told = running.body(http(path=path))
    assert plain.keys() == told.keys() - {"refused"}
    assert told["refused"] == {"code": "model_invalid", "message": ModelError.text}
