"""Lambda's Runtime API, version 2018-06-01, for one sandbox: the socket tells which sandbox calls.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Protocol

from local.web import BodyTooLargeError, RequestHandler, Server

MAX_EVENT_BYTES = 6 * 1024 * 1024
"""Largest event of a synchronous invocation."""
MAX_REPLY_BYTES = 6_291_556
"""Largest reply of a synchronous invocation, as Lambda's own error states it."""

_INVOCATION = re.compile(r"/2018-06-01/runtime/invocation/([^/]+)/(response|error)")


@dataclass(frozen=True, slots=True)
class Invocation:
    """One event on its way to a sandbox; `deadline` is seconds since the epoch."""

    request_id: str
    event: bytes
    deadline: float
    arn: str
    trace_id: str


class Runtime(Protocol):
    """What the API needs of the sandbox behind it."""

    def next(self) -> Invocation | None:
        """Block until there is an event; None when the sandbox is stopped."""

    def replied(self, request_id: str, body: bytes, *, failed: bool) -> None:
        """Take the reply, or the error, to the event."""

    def init_failed(self, body: bytes) -> None:
        """Take the error that stopped the handler from being imported."""


def error_payload(kind: str, message: str) -> bytes:
    """Return an error the way Lambda words its own."""
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def too_large(size: int) -> bytes:
    """Return Lambda's error for a reply over the limit."""
    return error_payload(
        "Function.ResponseSizeTooLarge",
        f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({MAX_REPLY_BYTES} bytes).",
    )


def serve(runtime: Runtime) -> Server:
    """Start the API for one sandbox."""

    class Handler(_RuntimeHandler):
        pass

    Handler.runtime = runtime
    server = Server(Handler)
    server.start()
    return server


class _RuntimeHandler(RequestHandler):
    runtime: Runtime

    def do_GET(self) -> None:
        if self.path != "/2018-06-01/runtime/invocation/next":
            return self.send(404, [], b"")
        invocation = self.runtime.next()
        if invocation is None:
            self.close_connection = True
            return self.send(410, [], b"")
        headers = [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(int(invocation.deadline * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", invocation.arn),
            ("Lambda-Runtime-Trace-Id", invocation.trace_id),
        ]
        return self.send(200, headers, invocation.event)

    def do_POST(self) -> None:
        try:
            body = self.read_body(1 << 30)
        except BodyTooLargeError:
            return self.send(413, [], b"")
        if self.path == "/2018-06-01/runtime/init/error":
            self.runtime.init_failed(body)
        elif match := _INVOCATION.fullmatch(self.path):
            failed = match[2] == "error"
            if not failed and len(body) > MAX_REPLY_BYTES:
                body, failed = too_large(len(body)), True
            self.runtime.replied(match[1], body, failed=failed)
        else:
            return self.send(404, [], b"")
        return self.send(202, [("Content-Type", "application/json")], b'{"status":"OK"}')
