"""Lambda events, read and answered: one small class a kind of event, tried in order. Raw dicts end here.

Shapes as AWS documents them: HTTP API payload 2.0 (Function URLs send the same), REST API and HTTP API payload 1.0,
Application Load Balancer with and without multi-value headers, and direct invocation with the request's own JSON.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from classifier.errors import RequestError
from classifier.records import Record
from classifier.web import parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.web.responses import Response

_VARIABLE = re.compile(r"\{([^{}+]+)\+?\}")
LAMBDA_REPLY_BYTES = 6_291_556
"""What Lambda returns at most; it fails the invocation of a function that replies with more."""
LOAD_BALANCER_REPLY_BYTES = 1 << 20
_HEADERS_BYTES = 2_000
_SURELY_SMALL = 200_000


class Request(Record, kw_only=True):
    """What any front door asked.

    `path` is decoded and without stage or base path, `query` decoded and in order, header names are in lower case.
    """

    method: str
    path: str
    query: parameters.Parameters = ()
    headers: Mapping[str, str]
    body: bytes = b""
    document: Mapping[str, Any] | None = None
    """The event itself, when the function was invoked directly."""
    address: str = ""
    """Where the request came from, as the front door saw it; empty where that does not say."""

    @property
    def direct(self) -> bool:
        """Whether there is no HTTP: the reply is then the body itself."""
        return self.document is not None


class EventKind(Protocol):
    """One kind of event: how to know it, read it and answer it, and how large a reply it takes, as JSON."""

    max_reply_bytes: int

    def matches(self, event: Mapping[str, Any]) -> bool: ...
    def read(self, event: Mapping[str, Any]) -> Request: ...
    def render(self, response: Response) -> Any: ...  # noqa: ANN401 - each front door has its own form


class HttpApi:
    """HTTP API with payload format 2.0, and Function URLs."""

    max_reply_bytes = LAMBDA_REPLY_BYTES

    def matches(self, event: Mapping[str, Any]) -> bool:
        return event.get("version") == "2.0" and "rawPath" in event

    def read(self, event: Mapping[str, Any]) -> Request:
        context = event["requestContext"]
        _, _, template = str(event.get("routeKey") or "").partition(" ")
        return Request(
            method=context["http"]["method"].upper(),
            path=_route_path(event["rawPath"] or "/", template, event, context.get("stage")),
            query=parameters.encoded(event.get("rawQueryString") or ""),
            headers=_lower_case(event.get("headers")),
            body=_body(event),
            address=str(context["http"].get("sourceIp") or ""),
        )

    def render(self, response: Response) -> dict[str, Any]:
        return _proxy_reply(response) | {"headers": dict(response.headers)}


class RestApi:
    """REST API, and HTTP API with payload format 1.0. The gateway has decoded the query already."""

    max_reply_bytes = LAMBDA_REPLY_BYTES

    def matches(self, event: Mapping[str, Any]) -> bool:
        return "httpMethod" in event and "path" in event

    def read(self, event: Mapping[str, Any]) -> Request:
        context = event.get("requestContext") or {}
        template = str(event.get("resource") or "")
        return Request(
            method=event["httpMethod"].upper(),
            path=_route_path(event["path"] or "/", template, event, context.get("stage")),
            query=parameters.decoded(_pairs(event)),
            headers=_joined(event.get("multiValueHeaders")) or _lower_case(event.get("headers")),
            body=_body(event),
            address=str(_mapping(context.get("identity")).get("sourceIp") or ""),
        )

    def render(self, response: Response) -> dict[str, Any]:
        return _proxy_reply(response) | {"headers": dict(response.headers)}


class LoadBalancer:
    """Application Load Balancer: like a REST API's event, but the query comes as the client encoded it."""

    max_reply_bytes = LOAD_BALANCER_REPLY_BYTES

    def matches(self, event: Mapping[str, Any]) -> bool:
        return "elb" in _mapping(event.get("requestContext"))

    def read(self, event: Mapping[str, Any]) -> Request:
        query = "&".join(f"{name}={'' if value is None else value}" for name, value in _pairs(event))
        headers = _joined(event.get("multiValueHeaders")) or _lower_case(event.get("headers"))
        return Request(
            method=event["httpMethod"].upper(),
            path=unquote(event["path"] or "/"),
            query=parameters.encoded(query),
            headers=headers,
            body=_body(event),
            address=headers.get("x-forwarded-for", "").rpartition(",")[2].strip(),  # the load balancer's own entry
        )

    def render(self, response: Response) -> dict[str, Any]:
        status = f"{response.status} {response.reason}"
        return _proxy_reply(response) | {"statusDescription": status, "headers": dict(response.headers)}


class MultiValueLoadBalancer(LoadBalancer):
    """The same with multi-value headers enabled: the load balancer then reads `multiValueHeaders` and nothing else."""

    def matches(self, event: Mapping[str, Any]) -> bool:
        return super().matches(event) and "multiValueHeaders" in event

    def render(self, response: Response) -> dict[str, Any]:
        reply = super().render(response)
        return reply | {"multiValueHeaders": {name: [value] for name, value in reply.pop("headers").items()}}


class Direct:
    """`serverless invoke -d '{"imagelink": "..."}'`: the event is the JSON that `POST /classify` takes."""

    max_reply_bytes = LAMBDA_REPLY_BYTES

    def matches(self, event: Mapping[str, Any]) -> bool:
        return not {"requestContext", "Records"} & event.keys()

    def read(self, event: Mapping[str, Any]) -> Request:
        return Request(method="POST", path="/classify", headers={}, document=event)

    def render(self, response: Response) -> Any:  # noqa: ANN401 - the reply's own JSON
        body = json.loads(response.body)
        return body if response.status < 400 else body | {"status": response.status}


KINDS: tuple[EventKind, ...] = (HttpApi(), MultiValueLoadBalancer(), LoadBalancer(), RestApi(), Direct())


def kind_of(event: object) -> EventKind:
    """The first kind that knows `event`; anything unknown is answered as a direct invocation is."""
    if isinstance(event, dict):
        for kind in KINDS:
            if kind.matches(event):
                return kind
    return Direct()


def read(kind: EventKind, event: object) -> Request:
    """Read `event`; RequestError when it isn't an event of a known form."""
    if not isinstance(event, dict) or not kind.matches(event):
        raise RequestError(f"unknown event: {type(event).__name__}", public="This is not an event of a known form.")
    try:
        return kind.read(event)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        # Its text could repeat what the caller sent.
        raise RequestError(f"malformed {type(kind).__name__} event: {type(error).__name__}") from error


def check_reply(kind: EventKind, response: Response) -> None:
    """RequestError if a reply is larger than `kind` takes: a caller who asks for too much is no failure of ours."""
    if len(response.body) <= _SURELY_SMALL:
        return
    size = len(json.dumps(kind.render(response), ensure_ascii=False).encode()) + _HEADERS_BYTES
    if size > kind.max_reply_bytes:
        text = f"The reply would have {size} bytes; at most {kind.max_reply_bytes} can be sent. Ask for less at once."
        raise RequestError(f"a reply of {size} bytes", public=text)


def _route_path(raw: str, template: str, event: Mapping[str, Any], stage: object) -> str:
    """The path as the API's own routes know it.

    A named stage (HTTP API) and a custom domain's base path are part of what the event calls the path. The route that
    the gateway chose (`GET /v1/models/{name}`) is not, so its filled-in form wins wherever the path ends with it.
    """
    path = unquote(raw)
    values = _mapping(event.get("pathParameters"))
    chosen = _VARIABLE.sub(lambda found: unquote(str(values.get(found[1], found[0]))), template)
    if chosen.startswith("/") and path.endswith(chosen):
        return chosen
    if isinstance(stage, str) and (path == f"/{stage}" or path.startswith(f"/{stage}/")):
        return path.removeprefix(f"/{stage}") or "/"
    return path


def _pairs(event: Mapping[str, Any]) -> list[tuple[str, Any]]:
    many = event.get("multiValueQueryStringParameters")
    if many:
        return [(name, value) for name, values in many.items() for value in values or ()]
    return list((event.get("queryStringParameters") or {}).items())


def _lower_case(headers: Mapping[str, Any] | None) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in (headers or {}).items() if value is not None}


def _joined(headers: Mapping[str, list[Any]] | None) -> dict[str, str]:
    return {name.lower(): ",".join(map(str, values)) for name, values in (headers or {}).items() if values}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _body(event: Mapping[str, Any]) -> bytes:
    body = event.get("body") or ""
    if not isinstance(body, str):
        raise RequestError(f"body: {type(body).__name__}", public="The event's body must be a string.")
    if str(event.get("isBase64Encoded")).lower() != "true":
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError("body: not base64", public="The body is not valid base64.") from error


def _proxy_reply(response: Response) -> dict[str, Any]:
    return {"statusCode": response.status, "body": response.body, "isBase64Encoded": response.base64}
