"""What the application says when it refuses or fails: to the caller, and to the log."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from classifier import logs
from classifier.errors import ModelLoadingError, OutOfTimeError
from tests.support.application import Running, http, lines, picture, refuse_link, upload
from tests.support.application import start as start
from tests.support.pictures import encoded, photo

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


S3_LINK = "https://b.s3.amazonaws.com/k.jpg?X-Amz-Algorithm=AWS4&X-Amz-Expires=60&X-Amz-Signature=abc"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("url=http://h/a.jpg", "Not known here: url (imagelink)."),
        ("image_url=http://h/a.jpg", "Not known here: image_url (imagelink)."),
        ("imageLink=http://h/a.jpg", "Not known here: imageLink (imagelink)."),
        ("s3_key=images/a.jpg", "Not known here: s3_key (s3key)."),
        ("s3key=images/x&topp=2", "Not known here: topp (top)."),
        ("qwertz=1", "Not known here: qwertz."),
        (
            f"imagelink={S3_LINK}",
            "Not known here: X-Amz-Expires, X-Amz-Signature. If they belong to imagelink, percent-",
        ),
        ("imagelink=http://h/a%2Fb.jpg?alt=media&token=t", "Not known here: token. If they belong to imagelink"),
    ],
)
def test_a_refused_caller_hears_of_parameters_that_nobody_reads(
    query: str, says: str, start: Callable[..., Running]
) -> None:
    assert says in start().body(http(query=query))["error"]["message"]


def test_a_reply_names_the_parameters_that_nobody_read_in_a_header(start: Callable[..., Running]) -> None:
    event = upload(picture())
    running = start()
    answer = running.ask(event | {"rawQueryString": "topp=2&%F0%9F%92%A9%0D%0Ax=1&top=1&model="})
    assert answer["statusCode"] == 200
    assert answer["headers"]["x-unknown-parameters"] == "topp (top), ???x"
    assert "x-unknown-parameters" not in running.ask(event | {"rawQueryString": "top=1"})["headers"]


JPEG = encoded(photo(300, 200), "JPEG", quality=95)
FORM = "application/x-www-form-urlencoded"
BASE64 = base64.b64encode(picture()).decode()


def with_file(**fields: Any) -> tuple[bytes, str]:
    """A form of these fields, as the requests library sends it; a tuple is a file."""
    sent = requests.Request(
        "POST", "http://h/", files={n: (None, v) if isinstance(v, str) else v for n, v in fields.items()}
    )
    prepared = sent.prepare()
    assert isinstance(prepared.body, bytes)
    return prepared.body, str(prepared.headers["content-type"])


@pytest.mark.parametrize(
    ("body", "kind", "names"),
    [
        (json.dumps({"image": BASE64, "topk": 1}), "application/json", "topk (top)"),
        (json.dumps({"image": BASE64, "topk": 1, "label": None}), "text/plain", "topk (top), label"),
        (
            json.dumps({"images": [{"image": BASE64, "topk": 1}, {"url": 1}]}),
            "application/json",
            "topk (top), url (imagelink)",
        ),
        (f"image={BASE64}&limit=1", FORM, "limit (top)"),
        (*with_file(file=("a.png", picture()), topk="1", model=""), "topk (top)"),
    ],
)
def test_a_reply_names_the_fields_of_a_body_that_nobody_read(
    body: str | bytes, kind: str, names: str, start: Callable[..., Running]
) -> None:
    answer = start().ask(upload(body.encode() if isinstance(body, str) else body, kind, "uri=1"))
    assert (answer["statusCode"], answer["headers"]["x-unknown-parameters"]) == (200, f"uri (imagelink), {names}")


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b'{"url": "http://h/a.jpg"}', "application/json", "Not known here: url (imagelink)."),
        (b'{"image_url": "http://h/a.jpg", "top": 3}', "application/json", "Not known here: image_url (imagelink)."),
        (b'{"s3key": "elsewhere/a.jpg", "topk": 3}', "application/json", "Not known here: topk (top)."),
        (b'{"file": "R0lG", "top": 0, "topk": 3}', "application/json", "Not known here: file (image), topk (top)."),
        (b"link=http://h/a.jpg", FORM, "Not known here: link (imagelink)."),
        (*with_file(photo_url="http://h/"), "Not known here: photo_url."),
        (*with_file(file=("a.png", b"no picture" * 99), topk="1"), "Not known here: topk (top)."),
    ],
)
def test_a_refused_caller_hears_of_fields_of_a_body_that_nobody_reads(
    body: bytes, kind: str, says: str, start: Callable[..., Running]
) -> None:
    message = start().body(upload(body, kind))["error"]["message"]
    assert message.endswith(says)
    assert message.count("Not known here") == 1


def test_one_of_several_is_told_of_its_own_unknown_fields(start: Callable[..., Running]) -> None:
    (result,) = start().ask({"images": [{"url": "http://h/", "topk": 1}]})["results"]
    assert result["error"]["message"].endswith("Not known here: url (imagelink), topk (top).")


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (
            *with_file(file=("file", "photo.jpg")),
            "The field file is text ('photo.jpg'), not a file: with curl write file=@",
        ),
        (*with_file(file="/home/me/photo"), "The field file is text ('/home/me/photo'), not a file"),
        (
            *with_file(photo=("blob", "[object Object]")),
            "The field photo is text ('[object Object]'), not a file: append",
        ),
        (JPEG.translate(None, b"\r\n\0"), FORM, "as with curl -d: use --data-binary @FILE"),
        (
            b"<!doctype html><html>",
            "text/html",
            "This is a web page, not a picture: upload the picture's file, or give its",
        ),
        (JPEG[:500], FORM, "The picture is broken or incomplete."),
        (
            with_file(file=("a.png", picture()))[0],
            "application/json",
            "The body is a form: let your client set Content-",
        ),
        (with_file(file=("a.png", picture()))[0], "image/png", "The body is a form: let your client set Content-Type"),
    ],
)
def test_the_commonest_mistakes_of_uploads_are_named(
    body: bytes, kind: str, says: str, start: Callable[..., Running]
) -> None:
    assert says in start().body(upload(body, kind))["error"]["message"]


def test_a_picture_of_which_the_gateway_made_text_is_told_so(start: Callable[..., Running]) -> None:
    """An HTTP API hands text on as text: whatever is no UTF-8 in it is gone."""
    lost = {"body": JPEG.decode(errors="replace"), "isBase64Encoded": False}
    for kind in ("text/plain", "application/json"):
        message = start().body(upload(b"", f"{kind}; charset=utf-8") | lost)["error"]["message"]
        assert f"It came as {kind}, of which gateways make text" in message
    assert start().ask(upload(JPEG, "text/plain"))["statusCode"] == 200


@pytest.mark.parametrize("base", ["/ml/classify", "ml/classify/"])
def test_behind_a_base_path_every_path_is_found_with_it_and_without(base: str, start: Callable[..., Running]) -> None:
    running = start(BASE_PATH=base)
    for path in ("/ml/classify/health", "/health"):
        assert running.ask(http(path=path))["statusCode"] == 200
    assert running.ask(http(path="/ml/classify/v1/models/things"))["statusCode"] == 200
    assert "html" in running.ask(http(path="/ml/classify"))["headers"]["content-type"]
    assert running.body(http(path="/ml/classify/classify"))["error"]["code"] == "missing_input"
    for path in ("/ml/health", "/ml/classifyhealth"):
        assert running.ask(http(path=path))["statusCode"] == 404


@pytest.mark.parametrize("char", ["\u009b", "\u2028", "\u2029", "\u202e", "\u2066", "\x1b", "\x7f", "\u200b", "\ufeff"])
def test_what_a_caller_sends_reaches_neither_log_nor_reply_raw(
    char: str, start: Callable[..., Running], capsys: pytest.CaptureFixture[str]
) -> None:
    running = start()
    events = [
        http(path=f"/a{char}b"),
        http(f"G{char}T"),
        http(query=f"s3key=images/{char}"),
        http("POST", headers={"content-type": "application/json"}, body=json.dumps({"imagelink": f"http://h{char}/"})),
        http(path=f"/v1/models/{char}"),
    ]
    bodies = [running.ask(event)["body"] for event in events]
    written = capsys.readouterr().out
    assert all(text.isprintable() for text in [*bodies, *written.splitlines()])
    assert json.loads(written.splitlines()[0])["route"] == f"GET /a{char}b"
    assert json.loads(bodies[0])["error"]["message"] == f"There is nothing at /a{char}b."


def test_gzip_is_removed_from_every_body(start: Callable[..., Running]) -> None:
    running, packed = start(), gzip.compress(picture())
    for kind, body in (
        ("image/png", packed),
        ("application/json", gzip.compress(json.dumps({"image": base64.b64encode(picture()).decode()}).encode())),
        ("application/x-www-form-urlencoded", gzip.compress(b"image=" + base64.b64encode(picture()))),
    ):
        answer = running.ask(upload(body) | {"headers": {"content-type": kind, "content-encoding": "gzip"}})
        assert answer["statusCode"] == 200
    broken = running.body(upload(packed[:-9]) | {"headers": {"content-type": "image/png", "content-encoding": "gzip"}})
    assert broken["error"]["message"] == "The gzip body is broken."
