"""What the application says when it refuses or fails: to the caller, and to the log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from classifier import logs
from classifier.errors import ModelLoadingError, OutOfTimeError
from tests.support.application import Running, http, lines, picture, refuse_link, upload
from tests.support.application import start as start

if TYPE_CHECKING:
    from collections.abc import Callable


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
        (upload(picture()[:45]), 422, "invalid_image"),
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
@pytest.mark.parametrize("fetch", [refuse_link, _out_of_time])
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
