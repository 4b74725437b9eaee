"""A request and a reply as HTTP has them, and what every front door turns them into or from."""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

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


def request_time() -> dict[str, Any]:
    """Return when the request came, as API Gateway writes it."""
    now = time.time()
    return {
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }


def parameters(query: str) -> list[tuple[str, str]]:
    """Return the parameters of a query, decoded, in order."""
    return parse_qsl(query, keep_blank_values=True)


def json_message(status: int, text: str, key: str = "message") -> HttpReply:
    """Return a reply of one line of JSON."""
    return HttpReply(status, (("Content-Type", "application/json"),), json.dumps({key: text}).encode())


def html_page(status: int, text: str) -> HttpReply:
    """Return a reply of a heading in HTML."""
    html = f"<html><head><title>{status} {text}</title></head><body><h1>{status} {text}</h1></body></html>"
    return HttpReply(status, (("Content-Type", "text/html"),), html.encode())


def reply_parts(payload: object) -> tuple[dict[str, Any], int, bytes]:
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


def headers_of(payload: dict[str, Any], name: str = "headers") -> list[tuple[str, str]]:
    """Return the headers that may be passed on; BadReplyError when there are no such headers."""
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


def read_reply(front: Front, outcome: Outcome) -> HttpReply:
    """Turn an invocation's outcome into the front door's reply."""
    if outcome.error:
        return front.failure("failed")
    try:
        return front.reply(json.loads(outcome.payload))
    except (BadReplyError, ValueError):
        return front.failure("failed")
