"""Lambda events, read and answered: one small class a kind of event, tried in order. Raw dicts end here.

Shapes as AWS documents them: HTTP API payload 2.0 (Function URLs send the same), REST API 1.0, Application Load
Balancer, and direct invocation, whose event is the request's JSON itself.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, unquote_plus

from classifier.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from classifier.responses import Response

MAX_QUERY_BYTES = 16_384
LITERAL_PLUS = "imagelink"
"""A URL contains no spaces, so a `+` in this parameter is a plus, also where the caller did not encode it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What any front door asked: `path` without the stage, `query` decoded and in order, header names in lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str]
    body: bytes = b""
    document: Mapping[str, Any] | None = None
    """The event itself, when the function was invoked directly."""

    @property
    def direct(self) -> bool:
        """Whether there is no HTTP: the reply is then the body itself."""
        return self.document is not None


class EventKind(Protocol):
    """One kind of event: how to know it, read it and answer it."""

    def matches(self, event: Mapping[str, Any]) -> bool: ...
    def read(self, event: Mapping[str, Any]) -> Request: ...
    def render(self, response: Response) -> Any: ...  # noqa: ANN401 - each front door has its own form


class HttpApi:
    """HTTP API with payload format 2.0, and Function URLs."""

    def matches(self, event: Mapping[str, Any]) -> bool:
        return event.get("version") == "2.0" and "rawPath" in event

    def read(self, event: Mapping[str, Any]) -> Request:
        context = event["requestContext"]
        return Request(
            method=context["http"]["method"].upper(),
            path=_without_stage(event["rawPath"], context.get("stage", "$default")),
            query=_decoded(event.get("rawQueryString", "")),
            headers=_lower_case(event.get("headers")),
            body=_body(event),
        )

    def render(self, response: Response) -> dict[str, Any]:
        return {
            "statusCode": response.status,
            "headers": dict(response.headers),
            "body": response.body,
            "isBase64Encoded": False,
        }


class RestApi(HttpApi):
    """REST API, and HTTP API with payload format 1.0. The gateway has decoded the query already."""

    def matches(self, event: Mapping[str, Any]) -> bool:
        return "httpMethod" in event and "path" in event

    def read(self, event: Mapping[str, Any]) -> Request:
        return Request(
            method=event["httpMethod"].upper(),
            path=event["path"] or "/",
            query=tuple(self._query(event)),
            headers=_joined(event.get("multiValueHeaders")) or _lower_case(event.get("headers")),
            body=_body(event),
        )

    def _query(self, event: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        many: Mapping[str, list[str]] = event.get("multiValueQueryStringParameters") or {}
        if many:
            return ((name, value) for name, values in many.items() for value in values)
        return (event.get("queryStringParameters") or {}).items()


class LoadBalancer(RestApi):
    """Application Load Balancer: the REST form, but the query comes as the client encoded it."""

    def matches(self, event: Mapping[str, Any]) -> bool:
        return "elb" in (event.get("requestContext") or {})

    def read(self, event: Mapping[str, Any]) -> Request:
        return super().read(event)

    def _query(self, event: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        return _decoded("&".join(f"{name}={value}" for name, value in super()._query(event)))

    def render(self, response: Response) -> dict[str, Any]:
        rendered = super().render(response)
        rendered["statusDescription"] = f"{response.status} {response.reason}"
        headers = rendered.pop("headers")
        return rendered | {
            "headers": headers,
            "multiValueHeaders": {name: [value] for name, value in headers.items()},
        }


class Direct:
    """`serverless invoke -d '{"imagelink": "..."}'`: the event is the JSON that `POST /classify` takes."""

    def matches(self, event: Mapping[str, Any]) -> bool:
        return not {"requestContext", "Records"} & event.keys()

    def read(self, event: Mapping[str, Any]) -> Request:
        return Request(method="POST", path="/classify", headers={}, document=event)

    def render(self, response: Response) -> Any:  # noqa: ANN401 - the reply's own JSON
        body = json.loads(response.body)
        return body if response.status < 400 else body | {"status": response.status}


KINDS: tuple[EventKind, ...] = (HttpApi(), LoadBalancer(), RestApi(), Direct())


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
        raise RequestError(f"unknown event: {type(event).__name__}", public="The event must be a JSON object.")
    try:
        return kind.read(event)
    except (KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"malformed {type(kind).__name__} event: {error!r}") from error


def _without_stage(path: str, stage: str) -> str:
    if stage != "$default" and (path == f"/{stage}" or path.startswith(f"/{stage}/")):
        path = path[len(stage) + 1 :]
    return path or "/"


def _decoded(query: str) -> tuple[tuple[str, str], ...]:
    if len(query) > MAX_QUERY_BYTES:
        raise RequestError(public=f"The query has {len(query)} bytes; at most {MAX_QUERY_BYTES} are read.")
    pairs = (part.partition("=") for part in query.split("&") if part)
    try:
        return tuple((_name(name), _value(_name(name), value)) for name, _, value in pairs)
    except UnicodeDecodeError as error:
        raise RequestError(str(error), public="The query is not percent-encoded UTF-8.") from error


def _name(raw: str) -> str:
    return unquote_plus(raw, errors="strict")


def _value(name: str, raw: str) -> str:
    return (unquote if name == LITERAL_PLUS else unquote_plus)(raw, errors="strict")


def _lower_case(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {name.lower(): value for name, value in (headers or {}).items()}


def _joined(headers: Mapping[str, list[str]] | None) -> dict[str, str]:
    return {name.lower(): ",".join(values) for name, values in (headers or {}).items()}


def _body(event: Mapping[str, Any]) -> bytes:
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return str(body).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"body: {error}", public="The body is not valid base64.") from error
