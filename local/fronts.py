"""The front doors of a function, each with its own event and reply: HTTP API, REST API, Function URL and ALB.

Sources: docs.aws.amazon.com, "Working with AWS Lambda proxy integrations" for HTTP APIs and for REST APIs, "Invoking
Lambda function URLs", "Lambda functions as targets" of the ALB.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, unquote

from local.function import ACCOUNT, REGION

if TYPE_CHECKING:
    from local.sandbox import Outcome

_TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it came: names of headers in their own case, `path` and `query` still percent-encoded."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    client: str = "127.0.0.1"
    host: str = "localhost"
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def joined(self, separator: str = ",", *, without: tuple[str, ...] = ()) -> dict[str, str]:
        """Return headers by lower-case name, repeated ones joined."""
        found: dict[str, str] = {}
        for name, value in self.headers:
            lower = name.lower()
            if lower not in without:
                found[lower] = f"{found[lower]}{separator}{value}" if lower in found else value
        return found

    def header(self, name: str) -> str:
        """Return one header, empty when it is missing."""
        return self.joined().get(name, "")

    def body_text(self) -> tuple[str, bool]:
        """Return the body and whether it is base64: anything but plain text is."""
        kind = self.header("content-type").strip().lower()
        if self.body and (self.header("content-encoding") or not kind.startswith(_TEXT_TYPES)):
            return base64.b64encode(self.body).decode(), True
        return self.body.decode(errors="replace"), False


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A reply as it goes out."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class BadReplyError(Exception):
    """The function's reply is not one that this front door can pass on."""


class Front(Protocol):
    """One kind of front door."""

    @property
    def max_body_bytes(self) -> int:
        """Largest body that is taken."""

    @property
    def timeout_s(self) -> float:
        """Longest time for a reply."""

    def event(self, request: HttpRequest) -> dict[str, Any]:
        """Return the event for a request."""

    def reply(self, payload: object) -> HttpReply:
        """Return the reply to a function's payload; BadReplyError when it is none."""

    def failure(self, situation: str) -> HttpReply:
        """Return the reply to a `failed`, `throttled`, `too_large` or `timed_out` request."""


def _now() -> dict[str, Any]:
    now = time.time()
    return {
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }


def _pairs(query: str) -> list[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


def _message(status: int, text: str, key: str = "message") -> HttpReply:
    return HttpReply(status, (("Content-Type", "application/json"),), json.dumps({key: text}).encode())


def _page(status: int, text: str) -> HttpReply:
    html = f"<html><head><title>{status} {text}</title></head><body><h1>{status} {text}</h1></body></html>"
    return HttpReply(status, (("Content-Type", "text/html"),), html.encode())


def _parts(payload: object) -> tuple[dict[str, Any], int, bytes]:
    """Return the payload as a dict, its status and its body's bytes."""
    if not isinstance(payload, dict):
        raise BadReplyError(payload)
    status = payload.get("statusCode")
    body = payload.get("body")
    if isinstance(status, str) and status.isdecimal():
        status = int(status)
    if not isinstance(status, int) or not 100 <= status <= 599 or not isinstance(body, str | None):
        raise BadReplyError(f"statusCode {status!r}, body {type(body).__name__}")
    try:
        raw = base64.b64decode(body or "", validate=True) if payload.get("isBase64Encoded") else (body or "").encode()
    except binascii.Error as error:
        raise BadReplyError(str(error)) from error
    return payload, status, raw


def _headers(payload: dict[str, Any], name: str = "headers") -> list[tuple[str, str]]:
    given = payload.get(name) or {}
    if not isinstance(given, dict):
        raise BadReplyError(f"{name} is {type(given).__name__}")
    pairs = [(key, one) for key, value in given.items() for one in (value if isinstance(value, list) else [value])]
    if not all(isinstance(value, str | int | float) for _, value in pairs):
        raise BadReplyError(f"{name} holds more than text")
    return [(key, _header_text(value)) for key, value in pairs if key.lower() not in _HOP_BY_HOP]


def _header_text(value: str | float | bool) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if "\n" in text or "\r" in text:
        raise BadReplyError("a header with a line break")
    return text


@dataclass(frozen=True, slots=True)
class HttpApi:
    """API Gateway's HTTP API, payload 2.0. A named `stage` is the first part of the path, as it is there."""

    stage: str = "$default"
    max_body_bytes: int = 10 * 1024 * 1024
    timeout_s: float = 30.0

    def event(self, request: HttpRequest) -> dict[str, Any]:
        """Return a payload 2.0 event."""
        body, is_base64 = request.body_text()
        cookies = [part.strip() for part in request.header("cookie").split(";") if part.strip()]
        query: dict[str, str] = {}
        for name, value in _pairs(request.query):
            query[name] = f"{query[name]},{value}" if name in query else value
        forwarded = {
            "x-forwarded-for": request.client,
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
            "x-amzn-trace-id": f"Root=1-{int(time.time()):08x}-{request.request_id.replace('-', '')[:24]}",
        }
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": request.path,
            "rawQueryString": request.query,
            **({"cookies": cookies} if cookies else {}),
            "headers": request.joined(without=("cookie", "connection", "transfer-encoding")) | forwarded,
            **({"queryStringParameters": query} if query else {}),
            "requestContext": self._context(request),
            **({"body": body} if request.body else {}),
            "isBase64Encoded": is_base64,
        }

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        return {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": request.host,
            "domainPrefix": request.host.partition(".")[0],
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.client,
                "userAgent": request.header("user-agent"),
            },
            "requestId": request.request_id,
            "routeKey": "$default",
            "stage": self.stage,
            **_now(),
        }

    def reply(self, payload: object) -> HttpReply:
        """Pass the reply on; a payload without statusCode is a JSON body of status 200."""
        if not isinstance(payload, dict) or "statusCode" not in payload:
            body = payload if isinstance(payload, str) else json.dumps(payload)
            return HttpReply(200, (("Content-Type", "application/json"),), body.encode())
        known, status, raw = _parts(payload)
        headers = _headers(known) + [("Set-Cookie", str(cookie)) for cookie in known.get("cookies") or []]
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", "text/plain;charset=UTF-8"))
        return HttpReply(status, tuple(headers), raw)

    def failure(self, situation: str) -> HttpReply:
        """HTTP APIs say little: a failed function is a 500, a busy or slow one a 503."""
        if situation == "too_large":
            return _message(413, "Request Entity Too Large")
        if situation == "failed":
            return _message(500, "Internal Server Error")
        return _message(503, "Service Unavailable")


@dataclass(frozen=True, slots=True)
class FunctionUrl(HttpApi):
    """A Function URL: payload 2.0, bodies of 6 MB, and no time limit but the function's."""

    max_body_bytes: int = 6 * 1024 * 1024
    timeout_s: float = 900.0

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        context = HttpApi._context(self, request)  # noqa: SLF001 # super() fails in a slotted dataclass
        return context | {"authentication": None, "domainName": f"local.lambda-url.{REGION}.on.aws"}

    def failure(self, situation: str) -> HttpReply:
        """A failed function is a 502."""
        if situation == "too_large":
            return _message(
                413, "Request must be smaller than 6291456 bytes for the InvokeFunction operation", "Message"
            )
        if situation == "throttled":
            return _message(429, "Rate Exceeded.", "Message")
        if situation == "timed_out":
            return _message(504, "Gateway Timeout", "Message")
        return HttpReply(502, (("Content-Type", "application/json"),), b"Internal Server Error")


@dataclass(frozen=True, slots=True)
class RestApi:
    """API Gateway's REST API, payload 1.0, a `{proxy+}` resource; `*/*` is binary unless told otherwise."""

    stage: str = "dev"
    binary: bool = True
    max_body_bytes: int = 10 * 1024 * 1024
    timeout_s: float = 29.0

    def event(self, request: HttpRequest) -> dict[str, Any]:
        """Return a payload 1.0 event: every value of a repeated header or parameter, and the last of each."""
        headers: dict[str, list[str]] = {}
        for name, value in request.headers:
            headers.setdefault(name, []).append(value)
        headers |= {"X-Forwarded-For": [request.client], "X-Forwarded-Port": ["443"], "X-Forwarded-Proto": ["https"]}
        query: dict[str, list[str]] = {}
        for name, value in _pairs(request.query):
            query.setdefault(name, []).append(value)
        inside = self._inside(request.path)
        body = base64.b64encode(request.body).decode() if self.binary else request.body.decode(errors="replace")
        return {
            "resource": "/{proxy+}" if inside != "/" else "/",
            "path": inside,
            "httpMethod": request.method,
            "headers": {name: values[-1] for name, values in headers.items()},
            "multiValueHeaders": headers,
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "pathParameters": {"proxy": unquote(inside[1:])} if inside != "/" else None,
            "stageVariables": None,
            "requestContext": self._context(request),
            "body": body if request.body else None,
            "isBase64Encoded": bool(request.body) and self.binary,
        }

    def _inside(self, path: str) -> str:
        stage = f"/{self.stage}"
        return path.removeprefix(stage) or "/" if path == stage or path.startswith(f"{stage}/") else path

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        now = _now()
        return {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": request.host,
            "domainPrefix": request.host.partition(".")[0],
            "extendedRequestId": request.request_id[:16],
            "httpMethod": request.method,
            "identity": {"sourceIp": request.client, "userAgent": request.header("user-agent")},
            "path": request.path,
            "protocol": "HTTP/1.1",
            "requestId": request.request_id,
            "requestTime": now["time"],
            "requestTimeEpoch": now["timeEpoch"],
            "resourcePath": "/{proxy+}",
            "stage": self.stage,
        }

    def reply(self, payload: object) -> HttpReply:
        """Pass the reply on."""
        known, status, raw = _parts(payload)
        several = _headers(known, "multiValueHeaders")
        taken = {name.lower() for name, _ in several}
        headers = several + [(name, value) for name, value in _headers(known) if name.lower() not in taken]
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", "application/json"))
        return HttpReply(status, tuple(headers), raw)

    def failure(self, situation: str) -> HttpReply:
        """A failed function is a 502, a slow one a 504."""
        if situation == "too_large":
            return _message(413, "Request Too Long")
        if situation == "timed_out":
            return _message(504, "Endpoint request timed out")
        return _message(500 if situation == "throttled" else 502, "Internal server error")


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """An Application Load Balancer: 1 MB each way, and parameters as they came, still percent-encoded."""

    multi_value: bool = False
    max_body_bytes: int = 1024 * 1024
    timeout_s: float = 60.0

    def event(self, request: HttpRequest) -> dict[str, Any]:
        """Return a target group's event."""
        body, is_base64 = request.body_text()
        extra = {"x-forwarded-for": request.client, "x-forwarded-port": "80", "x-forwarded-proto": "http"}
        headers = {name.lower(): value for name, value in request.headers} | extra
        raw = [(part.partition("=")[0], part.partition("=")[2]) for part in request.query.split("&") if part]
        common = {
            "requestContext": {
                "elb": {"targetGroupArn": f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/local/0"}
            },
            "httpMethod": request.method,
            "path": request.path,
            "body": body,
            "isBase64Encoded": is_base64,
        }
        if not self.multi_value:
            return {**common, "headers": headers, "queryStringParameters": dict(raw)}
        names = dict.fromkeys(name for name, _ in raw)
        values = {name: [value for key, value in raw if key == name] for name in names}
        lists = {name: [v for key, v in request.headers if key.lower() == name] or [headers[name]] for name in headers}
        return {**common, "multiValueHeaders": lists, "multiValueQueryStringParameters": values}

    def reply(self, payload: object) -> HttpReply:
        """Pass the reply on."""
        known, status, raw = _parts(payload)
        if len(raw) > self.max_body_bytes:
            raise BadReplyError(f"{len(raw)} bytes are more than the load balancer passes on")
        headers = _headers(known, "multiValueHeaders" if self.multi_value else "headers")
        return HttpReply(status, tuple(headers), raw)

    def failure(self, situation: str) -> HttpReply:
        """A page, as from a load balancer."""
        if situation == "too_large":
            return _page(413, "Request Entity Too Large")
        return _page(504, "Gateway Time-out") if situation == "timed_out" else _page(502, "Bad Gateway")


def read_reply(front: Front, outcome: Outcome) -> HttpReply:
    """Turn an invocation's outcome into the front door's reply."""
    if outcome.error:
        return front.failure("failed")
    try:
        return front.reply(json.loads(outcome.payload))
    except (BadReplyError, ValueError):
        return front.failure("failed")
