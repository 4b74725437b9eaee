"""The same application behind a WSGI server: one more front door, for who outgrows Lambda (docs/operate/scale.md).

A process answers one request at a time, as a sandbox does: engines and loaders count on it. Servers run several.
"""

from __future__ import annotations

import base64
import uuid
from threading import Lock
from typing import TYPE_CHECKING, Any

from classifier.errors import ImageTooLargeError
from classifier.web import parameters
from classifier.web.events import LAMBDA_REPLY_BYTES, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from classifier.app import App
    from classifier.web.responses import Response

type Reply = tuple[str, list[tuple[str, str]], str, bool]

BODY = "classifier.body"
LIMIT_MS = 60_000
"""serverless.yml's time limit; REPLY_TIMEOUT_SECONDS comes before it."""


class Wsgi:
    """A WSGI environment with the request's body as event (PEP 3333), and what `start_response` takes as reply."""

    max_reply_bytes = LAMBDA_REPLY_BYTES
    """No limit of WSGI's, but what is asked for in one request should not depend on who answers."""

    def matches(self, event: Mapping[str, Any]) -> bool:
        return "wsgi.version" in event

    def read(self, event: Mapping[str, Any]) -> Request:
        if event[BODY] is None:
            raise ImageTooLargeError("the body is larger than any request may be")
        headers = {name[5:].replace("_", "-").lower(): value for name, value in event.items() if name[:5] == "HTTP_"}
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if event.get(name):
                headers[name.replace("_", "-").lower()] = event[name]
        return Request(
            method=event["REQUEST_METHOD"].upper(),
            path=event["PATH_INFO"].encode("latin-1").decode("utf-8", "replace") or "/",
            query=parameters.encoded(event.get("QUERY_STRING") or ""),
            headers=headers,
            body=event[BODY],
            address=event.get("REMOTE_ADDR") or "",
        )

    def render(self, response: Response) -> Reply:
        status = f"{response.status} {response.reason}"
        return status, list(response.headers.items()), response.body, response.base64


class _Context:
    """What the application asks of Lambda's context."""

    def __init__(self) -> None:
        self.aws_request_id = str(uuid.uuid4())

    def get_remaining_time_in_millis(self) -> int:
        return LIMIT_MS


def application(app: App, max_body_bytes: int) -> WSGIApplication:
    """A WSGI application that answers as `app` does; bodies above `max_body_bytes` are refused, not read."""
    kind, lock = Wsgi(), Lock()

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        event = {**environ, BODY: _body(environ, max_body_bytes)}  # read before the lock: a caller may be slow
        with lock:
            status, headers, text, encoded = app.handle(event, _Context(), kind)
        body = base64.b64decode(text) if encoded else text.encode()
        if not status.startswith("204"):
            headers.append(("content-length", str(len(body))))
        start_response(status, headers)
        return [body]

    return answer


def _body(environ: WSGIEnvironment, max_bytes: int) -> bytes | None:
    length = environ.get("CONTENT_LENGTH") or ("" if environ.get("wsgi.input_terminated") else "0")
    if length and int(length) > max_bytes:
        return None
    body: bytes = environ["wsgi.input"].read(int(length) if length else max_bytes + 1)
    return body if len(body) <= max_bytes else None
