"""The application from event to reply, with a tiny engine and no TensorFlow."""

from __future__ import annotations

import base64
import io
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from PIL import Image

from classifier import logs
from classifier.app import App
from classifier.errors import ModelLoadingError, OutOfTimeError, UrlHostError
from classifier.images import ImageLimits
from classifier.opening import LoadedModel
from classifier.service import Classifier, ImageStore
from classifier.serving import ModelShape, parse_serving
from classifier.settings import Settings
from tests.origin import reply
from tests.scripted_s3 import ScriptedS3, error
from tests.test_events import recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from model_loader import ModelLoader
    from tests.origin import Behaviour


@dataclass
class RednessEngine:
    """Answers how red the picture is, and how blue."""

    name: str = "tiny"

    def predict(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        assert picture.shape == (1, 8, 8, 3)
        assert picture.dtype == np.float32
        red, _, blue = picture.mean(axis=(0, 1, 2))
        return np.array([red / max(red + blue, 1), blue / max(red + blue, 1)], np.float32)


SERVING = parse_serving(b'{"labels": ["red", "blue"]}', None, ModelShape(8, 8, 3, 2, "softmax"))
MODEL = LoadedModel(
    "0123456789abcdef", 1773119783.0, RednessEngine(), SERVING, frozenset(), {"pull": 1.0, "build": 2.0}
)


@dataclass
class Models:
    """A loader whose model is there on the second look; `deadlines` is what it was asked with."""

    current: LoadedModel | None = None
    failure: Exception | None = None
    deadlines: list[float] = field(default_factory=list)

    def look_ahead(self) -> None:
        """Nothing is newer."""

    def acquire(self, deadline: float) -> LoadedModel:
        """The model, or what makes it fail."""
        self.deadlines.append(deadline - time.monotonic())
        if self.failure:
            raise self.failure
        self.current = MODEL
        return MODEL


@dataclass
class Context:
    """Lambda's context."""

    aws_request_id: str = "r-1"
    remaining_ms: int = 60_000

    def get_remaining_time_in_millis(self) -> int:
        """Time left."""
        return self.remaining_ms


def _refused(_link: str, _deadline: float) -> bytes:
    raise UrlHostError("10.0.0.1 is private")


def picture(image_format: str = "PNG", color: tuple[int, int, int] = (255, 0, 0)) -> bytes:
    """A small red picture."""
    file = io.BytesIO()
    Image.new("RGB", (20, 10), color).save(file, image_format)
    return file.getvalue()


@dataclass
class Running:
    """An application, its models, and its S3."""

    app: App
    models: Models

    def ask(self, event: object, context: Context | None = None) -> Any:
        """The reply to an event."""
        return self.app.handle(event, context or Context())

    def body(self, event: object) -> dict[str, Any]:
        """The JSON body of the reply."""
        document: dict[str, Any] = json.loads(self.ask(event)["body"])
        return document


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start an application; its S3 stops with the test."""
    servers: list[ScriptedS3] = []

    def make(
        *,
        fetch: Callable[[str, float], bytes] = _refused,
        s3: Behaviour | None = None,
        started: float | None = None,
        **environ: str,
    ) -> Running:
        server = ScriptedS3(s3 or error("404 Not Found", "NoSuchKey")).__enter__()
        servers.append(server)
        settings = Settings.from_env(
            {"MODEL_BUCKET": "b", "MODEL_NAME": "things", "IMAGE_BUCKET": "pictures", **environ}
        )
        models = Models()
        store = ImageStore(server.client, "pictures", "images/", settings.max_image_bytes)
        classifier = Classifier(models, "things", fetch, store, ImageLimits.from_settings(settings))
        app = App(settings, cast("ModelLoader", models), classifier, time.monotonic() if started is None else started)
        return Running(app, models)

    yield make
    for server in servers:
        server.__exit__()


def http(method: str = "GET", path: str = "/classify", query: str = "", **changes: Any) -> dict[str, Any]:
    """An HTTP API event."""
    event = recorded("http_api", rawPath=path, rawQueryString=query, routeKey="$default", **changes)
    event["requestContext"]["http"]["method"] = method
    return event


def upload(data: bytes, content_type: str = "image/png", query: str = "", **headers: str) -> dict[str, Any]:
    """An upload as the gateway passes it on."""
    return http(
        "POST",
        query=query,
        headers={"content-type": content_type, **headers},
        body=base64.b64encode(data).decode(),
        isBase64Encoded=True,
    )


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was logged."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


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


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        (http(), 400, "missing_input"),
        (http(query="imagelink=http://h/&s3key=k"), 400, "ambiguous_input"),
        (http(query="s3key=k&top=0"), 400, "invalid_request"),
        (http(query="imagelink=http://h/"), 400, "url_host_not_allowed"),
        (http(query="s3key=models/x"), 400, "invalid_s3_key"),
        (http(query="s3key=images/x"), 404, "s3_object_not_found"),
        (http(path="/nope"), 404, "not_found"),
        (http("DELETE"), 405, "method_not_allowed"),
        (http("POST", "/health"), 405, "method_not_allowed"),
        (upload(b"hello"), 415, "unsupported_image_format"),
        (upload(picture()[:60]), 422, "invalid_image"),
        (upload(b"\xff" * 1001), 413, "image_too_large"),
        (http("POST", headers={"content-type": "application/json"}, body="{"), 400, "invalid_request"),
        (http("POST", isBase64Encoded=True, body="%"), 400, "invalid_request"),
    ],
)
def test_each_refusal_has_status_code_and_request_id_and_loads_no_model(
    event: dict[str, Any], status: int, code: str, start: Callable[..., Running], capsys: pytest.CaptureFixture[str]
) -> None:
    running = start(MAX_IMAGE_BYTES="1000")
    answer = running.ask(event)
    body = json.loads(answer["body"])
    assert (answer["statusCode"], body["error"]["code"], body["request_id"]) == (status, code, "r-1")
    assert answer["headers"]["access-control-allow-origin"] == "*"
    assert running.models.deadlines == []
    (line,) = lines(capsys)
    assert (line["level"], line["code"], line["status"], "stack" in line) == ("warning", code, status, False)


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


def test_a_model_that_is_still_loading_is_a_503_that_says_when_to_come_back(start: Callable[..., Running]) -> None:
    running = start()
    running.models.failure = ModelLoadingError("not yet")
    answer = running.ask(upload(picture()))
    assert (answer["statusCode"], answer["headers"]["retry-after"]) == (503, "5")
    assert json.loads(answer["body"])["error"]["code"] == "model_loading"


def test_what_nobody_expected_is_a_500_with_a_stack_in_the_log_only(
    start: Callable[..., Running], capsys: pytest.CaptureFixture[str]
) -> None:
    running = start()
    running.models.failure = ZeroDivisionError("at 10.0.0.1")
    answer = running.ask(upload(picture()))
    assert (answer["statusCode"], json.loads(answer["body"])["error"]["code"]) == (500, "internal_error")
    assert "10.0.0.1" not in answer["body"]
    (line,) = lines(capsys)
    assert line["level"] == "error"
    assert "ZeroDivisionError: at 10.0.0.1" in line["stack"]


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


def _out_of_time(_link: str, _deadline: float) -> bytes:
    raise OutOfTimeError("the request's own deadline passed while a link was fetched")


SECRET = "X-Amz-Signature=c2VzYW1l"


@pytest.mark.parametrize(
    "event",
    [
        http(query=f"imagelink=http://h/a.png?{SECRET.replace('=', '%3D')}"),
        http(query=f"imagelink=ftp://user:c2VzYW1l@h/?{SECRET}"),
        http(query=f"s3key=images/a.jpg%3F{SECRET}"),
        http(query=f"s3key=https://b.s3.amazonaws.com/a.jpg%3F{SECRET}"),
        http(query=f"s3key=images/%00%3F{SECRET}"),
        http(path=f"/nope%3F{SECRET}"),
        http(query=f"top={SECRET}&s3key=images/a.jpg"),
        http(query=f"a=%ff{SECRET}"),
        http("POST", headers={"content-type": "application/json"}, body=f'{{"imagelink": "http://h/?{SECRET}" 1'),
        http("POST", headers={"content-type": "application/json"}, body=json.dumps({"image": "c2VzYW1l*"})),
        http(
            "POST", headers={"content-type": "application/json"}, body=json.dumps({"s3key": f"images/\ud800?{SECRET}"})
        ),
        http("POST", isBase64Encoded=True, body="c2VzYW1l*"),
        http("POST", headers={"content-type": "image/png"}, body="not a picture, but c2VzYW1l"),
        http(headers={"authorization": "Bearer c2VzYW1l"}, query="s3key=images/x"),
        upload(picture()[:60] + b"c2VzYW1l"),
        {"imagelink": f"http://h/?{SECRET}"},
        {"image": "c2VzYW1l*"},
    ],
)
@pytest.mark.parametrize("fetch", [_refused, _out_of_time])
def test_no_log_line_and_no_reply_repeats_a_secret(
    event: dict[str, Any],
    fetch: Callable[[str, float], bytes],
    start: Callable[..., Running],
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("debug")
    answer = start(fetch=fetch).ask(event)
    logs.configure("info")
    told = json.dumps(answer) + capsys.readouterr().out
    assert "request" in told
    assert "c2VzYW1l" not in told
    assert "sesame" not in told


@pytest.mark.parametrize("name", ["http_api", "rest_api", "rest_api_base_path", "function_url", "load_balancer"])
def test_every_front_door_is_answered(name: str, start: Callable[..., Running]) -> None:
    answer = start(fetch=lambda _link, _deadline: picture()).ask(recorded(name))
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "application/json"
    assert json.loads(answer["body"])["predictions"][0]["label"] == "red"
