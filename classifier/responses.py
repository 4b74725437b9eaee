"""Replies and errors, rendered once, for every front door."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from classifier.errors import ClassifierError, MethodNotAllowedError

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Response:
    """A status, headers (names in lower case) and a text body; nothing that we answer is binary."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def reason(self) -> str:
        """The status's standard phrase."""
        return HTTPStatus(self.status).phrase


def json_response(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`document` as compact JSON."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return Response(status, {"content-type": JSON, "cache-control": "no-store", **(headers or {})}, body)


def error_response(error: ClassifierError, request_id: str) -> Response:
    """The error form: a stable code, a sentence for the caller, and the request id."""
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, MethodNotAllowedError):
        headers["allow"] = ", ".join(error.allow)
    document = {"error": {"code": error.code, "message": error.public}, "request_id": request_id}
    return json_response(document, error.status, headers)


def classification_response(reply: Mapping[str, Any], *, as_text: bool) -> Response:
    """The reply of a classification, as JSON or as one `label (score = 0.98710)` a line."""
    headers = {"server-timing": server_timing(reply["timings_ms"])}
    if not as_text:
        return json_response(reply, headers=headers)
    lines = (f"{item['label']} (score = {item['score']:.5f})\n" for item in reply["predictions"])
    headers |= {"content-type": TEXT, "cache-control": "no-store", "x-model-version": reply["model"]["version"]}
    return Response(200, headers, "".join(lines))


def server_timing(timings_ms: Mapping[str, float]) -> str:
    """Phases in the form of the Server-Timing header (https://www.w3.org/TR/server-timing/), durations in ms."""
    return ", ".join(f"{phase};dur={milliseconds:g}" for phase, milliseconds in timings_ms.items())


def prefers_text(accept: str) -> bool:
    """Whether an Accept header (RFC 9110, 12.5.1) ranks text/plain before application/json."""
    ranks = {"text/plain": 0.0, JSON: 0.0, "*/*": 0.0}
    for part in accept.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        ranks[name] = next((_quality(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
    text = ranks["text/plain"] or ranks.get("text/*", 0.0)
    named_json = ranks[JSON] or ranks.get("application/*", 0.0)
    return text > 0 and text > named_json and text >= ranks["*/*"]


def _quality(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0
