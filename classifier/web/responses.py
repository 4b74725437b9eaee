"""Replies and errors, rendered once, for every front door."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from classifier.errors import ClassifierError, MethodNotAllowedError
from classifier.printable import printable
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
NOT_SURE = "not sure: "
PNG = "image/png"
_LABEL_CHARS = 200
TOLD_HEADERS = (
    *("allow", "etag", "retry-after", "server-timing"),
    *("x-explanation", "x-model-version", "x-unknown-parameters"),
)
"""Headers of ours that programs read: pages of other origins may, too. `serverless.yml` has the same list."""


class Response(Record):
    """A status, headers (names in lower case) and a body: text, or bytes in base64."""

    status: int
    headers: Mapping[str, str] = {}
    body: str = ""
    base64: bool = False

    @property
    def reason(self) -> str:
        """The status's standard phrase."""
        from http import HTTPStatus  # an enum of 62: a millisecond of every start-up, for load balancers only

        return HTTPStatus(self.status).phrase


def json_response(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`document` as compact JSON."""
    body = _utf8(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
    return _response(status, JSON, headers or {}, printable(body))


def _response(status: int, content_type: str, headers: Mapping[str, str], body: str) -> Response:
    common = {"content-type": content_type, "cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(status, {**common, **headers}, body)


def _utf8(text: str) -> str:
    # Half a surrogate pair, which JSON can carry, has no UTF-8 form: Lambda's runtime client would fail on it.
    return text.encode("utf-8", "replace").decode()


def error_response(error: ClassifierError, request_id: str) -> Response:
    """The error form: a stable code, a sentence for the caller, and the request id."""
    document = {"error": {"code": error.code, "message": error.public}, "request_id": request_id}
    return json_response(document, error.status, error_headers(error))


def error_headers(error: ClassifierError) -> Mapping[str, str]:
    """What an error says in headers: when to come back, and which methods are allowed."""
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, MethodNotAllowedError):
        headers["allow"] = ", ".join(error.allow)
    return headers


def classification_response(reply: Mapping[str, Any], *, as_text: bool) -> Response:
    """The reply of a classification: JSON, or one `label (score = 0.98710)` a line, or the `overlay` in it.

    Where the model has a threshold and the best score doesn't reach it, `not sure: ` comes before the first.
    """
    headers = {"server-timing": server_timing(reply["timings_ms"])}
    if "overlay" in reply:
        return _overlay_response(reply, headers)
    if not as_text:
        return json_response(reply, headers=headers)
    lines = (f"{printable(_utf8(item['label']))} (score = {item['score']:.5f})\n" for item in reply["predictions"])
    doubt = "" if reply.get("sure", True) else NOT_SURE
    return _response(200, TEXT, headers | {"x-model-version": reply["model"]["version"]}, doubt + "".join(lines))


def _overlay_response(reply: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    """The picture; which label it explains, and how, is in a header, as JSON in ASCII."""
    explanation = reply["explanation"]
    said = {"label": explanation["label"][:_LABEL_CHARS], "method": explanation["method"]}
    told = {"x-model-version": reply["model"]["version"], "x-explanation": json.dumps(said)}
    made = _response(200, PNG, {**headers, **told}, reply["overlay"])
    return Response(made.status, made.headers, made.body, base64=True)


def server_timing(timings_ms: Mapping[str, float]) -> str:
    """Phases in the form of the Server-Timing header (https://www.w3.org/TR/server-timing/), durations in ms."""
    return ", ".join(f"{phase};dur={milliseconds:g}" for phase, milliseconds in timings_ms.items())


def prefers_text(accept: str) -> bool:
    """Whether an Accept header (RFC 9110, 12.5.1) ranks text/plain before application/json; a tie is JSON's."""
    return _prefers(accept, "text/plain", "text/*")


def prefers_png(accept: str) -> bool:
    """The same of image/png: an `<img>` asks so."""
    return _prefers(accept, PNG, "image/*")


def _prefers(accept: str, *names: str) -> bool:
    ranks = dict(_media_range(part) for part in accept.split(",") if part.strip())
    wanted, wanted_named = _rank(ranks, *names)
    document, document_named = _rank(ranks, JSON, "application/*")
    return wanted > document or (wanted == document > 0 and wanted_named > document_named)


def _rank(ranks: Mapping[str, float], *names: str) -> tuple[float, bool]:
    """The quality that the most specific range gives, and whether that range is not just `*/*`."""
    named = next((ranks[name] for name in names if name in ranks), None)
    return (ranks.get("*/*", 0.0), False) if named is None else (named, True)


def _media_range(part: str) -> tuple[str, float]:
    name, *options = (piece.strip().lower() for piece in part.split(";"))
    return name, next((_quality(option[2:]) for option in options if option.startswith("q=")), 1.0)


def _quality(value: str) -> float:
    try:
        return min(max(float(value), 0.0), 1.0)
    except ValueError:
        return 0.0
