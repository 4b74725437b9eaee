"""The gateways: the events that AWS's front doors make, their replies, and their words when something fails."""

from __future__ import annotations

import base64
import http.client
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from local.cloud import Config, LocalLambda
from local.fronts import BadReplyError, Front, FunctionUrl, HttpApi, HttpRequest, LoadBalancer, RestApi
from local.function import Function
from local.launch import PROJECT, Code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.s3 import LocalS3

QUERY = "imagelink=https%3A%2F%2Fexample.com%2Fa%252Bb.jpg%3Fx%3D1%26y%3D2&top=3&tag=one&tag=two"
PLAIN = (("Accept", "*/*"), ("User-Agent", "curl/8.5.0"))
COOKIES = (("Cookie", "a=1; b=2"),)


def essence(event: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from request to request or is known at AWS only."""
    context = event.pop("requestContext")
    for name in ("routeKey", "resource", "pathParameters"):
        event.pop(name, None)
    for headers in ("headers", "multiValueHeaders"):
        for name in list(event.get(headers, {})):
            if name.lower().startswith(("x-amzn-", "x-forwarded-", "cloudfront-", "host", "content-length")):
                del event[headers][name]
    kept = {"http", "httpMethod", "stage", "elb"} & set(context)
    return event | {"context": {name: context[name] if name != "elb" else True for name in kept}}


@pytest.mark.parametrize(
    ("recorded", "front", "path", "headers"),
    [
        ("http_api", HttpApi(), "/classify", PLAIN + COOKIES),
        ("http_api_named_stage", HttpApi(stage="dev"), "/dev/classify", PLAIN + COOKIES),
        ("function_url", FunctionUrl(), "/classify", PLAIN),
        ("rest_api", RestApi(), "/dev/classify", PLAIN),
        ("load_balancer", LoadBalancer(), "/classify", PLAIN),
        ("load_balancer_multi_value", LoadBalancer(multi_value=True), "/classify", PLAIN),
    ],
)
def test_events_are_those_that_aws_sends(
    recorded: str, front: Front, path: str, headers: tuple[tuple[str, str], ...]
) -> None:
    expected = json.loads((PROJECT / "tests" / "data" / "events" / f"{recorded}.json").read_text())
    request = HttpRequest("GET", path, QUERY, headers, b"", client="203.0.113.7")
    made = json.loads(json.dumps(front.event(request)))
    assert set(made["requestContext"]) - {"authentication", "authorizer"} <= set(expected["requestContext"])
    assert essence(made) == essence(expected)


@pytest.mark.parametrize(
    ("front", "kind", "encoded"),
    [
        (HttpApi(), "image/jpeg", True),
        (HttpApi(), "", True),
        (HttpApi(), "multipart/form-data; boundary=x", True),
        (HttpApi(), "application/json", False),
        (HttpApi(), "TEXT/plain; charset=utf-8", False),
        (FunctionUrl(), "image/png", True),
        (LoadBalancer(), "application/octet-stream", True),
        (LoadBalancer(), "application/json;charset=utf-8", False),
        (RestApi(), "application/json", True),
    ],
)
def test_bodies_that_are_no_text_are_base64(front: Front, kind: str, encoded: bool) -> None:
    headers = (("Content-Type", kind),) if kind else ()
    event = front.event(HttpRequest("POST", "/", "", headers, b'{"a": 1}'))
    body = base64.b64decode(event["body"]).decode() if encoded else event["body"]
    assert (event["isBase64Encoded"], body) == (encoded, '{"a": 1}')


@pytest.mark.parametrize("front", [HttpApi(), FunctionUrl(), RestApi(), LoadBalancer()])
@pytest.mark.parametrize(
    "payload",
    [
        {"statusCode": 99, "body": ""},
        {"statusCode": None, "body": ""},
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": 200, "body": "%%%", "isBase64Encoded": True},
        {"statusCode": 200, "body": "", "headers": {"a": {"b": 1}}},
        {"statusCode": 200, "body": "", "headers": {"a": "b\r\nc: d"}},
    ],
)
def test_replies_that_aws_would_refuse_are_refused(front: Front, payload: dict[str, Any]) -> None:
    if not isinstance(front, HttpApi) and "headers" not in payload:
        payload = {"headers": {}, **payload}
    with pytest.raises(BadReplyError):
        front.reply(payload)


@pytest.mark.parametrize("payload", ["text", 1, None, ["a"], {"a": 1}])
def test_only_payload_2_makes_a_reply_of_anything(payload: object) -> None:
    reply = HttpApi().reply(payload)
    assert (reply.status, json.loads(reply.body) if payload != "text" else reply.body) == (
        200,
        payload if payload != "text" else b"text",
    )
    for front in (RestApi(), LoadBalancer()):
        with pytest.raises(BadReplyError):
            front.reply(payload)


@pytest.fixture(scope="module")
def cloud(s3_server: LocalS3) -> Iterator[LocalLambda]:
    function = Function(name="tiny", handler="tiny.answer", timeout_s=20)
    code = Code(python_path=(PROJECT / "tests" / "support" / "handlers",))
    with LocalLambda(Config(functions=(function,), code=code, concurrency=1), s3_server) as running:
        yield running


def ask(url: str, method: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)) as connection:
        connection.request(method, urlsplit(url).path or "/", body, sent)
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()


def instruct(url: str, method: str = "POST", **instruction: Any) -> tuple[int, dict[str, str], bytes]:
    return ask(url, method, json.dumps(instruction))


@pytest.mark.lambda_
def test_a_binary_reply_with_cookies_arrives_as_it_is(cloud: LocalLambda) -> None:
    payload = {
        "statusCode": 201,
        "headers": {"Content-Type": "image/png", "X-Number": 3, "Content-Length": "999"},
        "cookies": ["a=1", "b=2"],
        "isBase64Encoded": True,
        "body": base64.b64encode(bytes(range(256))).decode(),
    }
    status, headers, body = instruct(cloud.url, do="reply", payload=payload)
    assert (status, headers["content-type"], headers["x-number"], headers["content-length"]) == (
        201,
        "image/png",
        "3",
        "256",
    )
    assert body == bytes(range(256))


@pytest.mark.lambda_
def test_head_and_204_have_no_body(cloud: LocalLambda) -> None:
    payload = {"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "four"}
    status, headers, body = instruct(cloud.url, "HEAD", do="reply", payload=payload)
    assert (status, headers["content-length"], body) == (200, "4", b"")
    status, headers, body = instruct(cloud.url, do="reply", payload={"statusCode": 204, "body": ""})
    assert (status, headers.get("content-length"), body) == (204, None, b"")


@pytest.mark.lambda_
def test_every_byte_of_an_upload_arrives_in_one_piece_or_in_chunks(cloud: LocalLambda) -> None:
    data = bytes(range(256)) * 4000
    for body in (data, iter([data[:5], data[5:100_000], data[100_000:]])):
        _, _, reply = ask(cloud.url, "POST", body, Content_Type="image/jpeg")
        event = json.loads(reply)
        assert event["isBase64Encoded"]
        assert base64.b64decode(event["body"]) == data


@pytest.mark.lambda_
@pytest.mark.parametrize(
    ("front", "failed", "too_large"),
    [
        (HttpApi(), (500, b'{"message": "Internal Server Error"}'), 413),
        (RestApi(), (502, b'{"message": "Internal server error"}'), 413),
        (FunctionUrl(), (502, b"Internal Server Error"), 413),
        (LoadBalancer(), (502, b"<html><head><title>502 Bad Gateway</title></head>"), 413),
    ],
)
def test_failures_are_worded_as_each_front_door_words_them(
    cloud: LocalLambda, front: Front, failed: tuple[int, bytes], too_large: int
) -> None:
    url = cloud.open(front)
    for instruction in ({"do": "fail"}, {"do": "exit"}, {"do": "reply", "payload": {"statusCode": "x", "body": ""}}):
        status, _, body = instruct(url, **instruction)
        assert (status, body[: len(failed[1])]) == failed
    assert ask(url, "POST", b"x" * (front.max_body_bytes + 1))[0] == too_large
    assert instruct(url, do="reply", payload={"statusCode": 200, "headers": {}, "body": "well"})[2] == b"well"


@pytest.mark.lambda_
def test_a_body_over_lambdas_limit_in_base64_is_too_large_though_the_gateway_takes_it(cloud: LocalLambda) -> None:
    assert ask(cloud.url, "POST", b"x" * (5 << 20), Content_Type="image/jpeg")[0] == 413
    assert ask(cloud.url, "POST", b"x" * (4 << 20), Content_Type="text/plain")[0] == 200


@pytest.mark.lambda_
@pytest.mark.parametrize(
    ("front", "late", "busy"),
    [
        (HttpApi(timeout_s=0.5), 503, 503),
        (RestApi(timeout_s=0.5), 504, 500),
        (FunctionUrl(timeout_s=0.5), 504, 429),
        (LoadBalancer(timeout_s=0.5), 504, 502),
    ],
)
def test_a_slow_function_is_a_time_out_and_a_busy_one_is_throttled(
    cloud: LocalLambda, front: Front, late: int, busy: int
) -> None:
    cloud.stop_sandboxes()
    url = cloud.open(front)
    while (now := instruct(cloud.url, do="reply", payload={"statusCode": 200, "body": "warm"})[0]) != 200:
        assert now == 503
    assert instruct(url, do="sleep", seconds=3)[0] == late
    assert instruct(url, do="reply", payload={"statusCode": 200, "body": ""})[0] == busy
