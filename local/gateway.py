"""HTTP in, events to the function, HTTP out: one server a front door. And Lambda's own Invoke call."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from local.fronts import HttpReply, HttpRequest, read_reply
from local.pool import EventTooLargeError, ThrottledError
from local.web import BodyTooLargeError, RequestHandler, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.asynchronous import EventQueue
    from local.fronts import Front
    from local.sandbox import Outcome


class Invoker(Protocol):
    """A function that can be invoked: its pool."""

    def invoke(self, event: bytes, request_id: str | None = None) -> Outcome:
        """Run one event."""


def open_gateway(front: Front, function: Invoker, port: int = 0, *, threads: int = 64) -> Server:
    """Serve `function` behind `front`; OSError when the port is taken."""
    workers = ThreadPoolExecutor(threads, thread_name_prefix="gateway")

    class Handler(_GatewayHandler):
        pass

    Handler.front, Handler.function, Handler.workers = front, function, workers
    server = Server(Handler, port, workers)
    server.start()
    return server


class _GatewayHandler(RequestHandler):
    front: Front
    function: Invoker
    workers: ThreadPoolExecutor

    def _answer(self) -> None:
        reply = self._reply()
        self.send(reply.status, list(reply.headers), reply.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer

    def _reply(self) -> HttpReply:
        try:
            body = self.read_body(self.front.max_body_bytes)
        except BodyTooLargeError:
            return self.front.failure("too_large")
        path, _, query = self.path.partition("?")
        request = HttpRequest(
            self.command,
            path,
            query,
            tuple(self.headers.items()),
            body,
            client=self.client_address[0],
            host=self.headers.get("Host", "localhost"),
        )
        return self._pass_on(request)

    def _pass_on(self, request: HttpRequest) -> HttpReply:
        event = json.dumps(self.front.event(request)).encode()
        try:
            outcome = self.workers.submit(self.function.invoke, event).result(self.front.timeout_s)
        except EventTooLargeError:
            return self.front.failure("too_large")
        except ThrottledError:
            return self.front.failure("throttled")
        except FutureTimeoutError:
            return self.front.failure("timed_out")
        return read_reply(self.front, outcome)


def open_lambda_api(functions: Mapping[str, Invoker], queues: Mapping[str, EventQueue], port: int = 0) -> Server:
    """Serve Lambda's Invoke call for boto3's client and others: RequestResponse and Event."""

    class Handler(_LambdaHandler):
        pass

    Handler.functions, Handler.queues = functions, queues
    server = Server(Handler, port)
    server.start()
    return server


class _LambdaHandler(RequestHandler):
    functions: Mapping[str, Invoker]
    queues: Mapping[str, EventQueue]

    def do_POST(self) -> None:
        body = self.read_body(64 << 20)
        parts = self.path.partition("?")[0].split("/")
        if len(parts) != 5 or parts[1] != "2015-03-31" or parts[2] != "functions" or parts[4] != "invocations":
            return self._error(404, "ResourceNotFoundException", "There is no such operation here.")
        # A name, an ARN, or either with a qualifier.
        name = unquote(parts[3]).rpartition("function:")[2].partition(":")[0]
        if name not in self.functions:
            return self._error(404, "ResourceNotFoundException", f"Function not found: {name}")
        try:
            json.loads(body or b"{}")
        except ValueError:
            return self._error(400, "InvalidRequestContentException", "Could not parse request body into json.")
        if self.headers.get("X-Amz-Invocation-Type") == "Event":
            self.queues[name].put(json.loads(body or b"{}"))
            return self.send(202, [], b"")
        return self._invoke(self.functions[name], body or b"{}")

    def _invoke(self, function: Invoker, event: bytes) -> None:
        try:
            outcome = function.invoke(event)
        except ThrottledError:
            return self._error(429, "TooManyRequestsException", "Rate Exceeded.")
        except EventTooLargeError:
            text = "Request must be smaller than 6291456 bytes for the InvokeFunction operation"
            return self._error(413, "RequestTooLargeException", text)
        failed = [("X-Amz-Function-Error", outcome.error)] if outcome.error else []
        headers = [("Content-Type", "application/json"), ("X-Amz-Executed-Version", "$LATEST"), *failed]
        return self.send(200, headers, outcome.payload)

    def _error(self, status: int, kind: str, text: str) -> None:
        body = json.dumps({"Type": "User", "Message": text}).encode()
        self.send(status, [("Content-Type", "application/json"), ("x-amzn-ErrorType", kind)], body)
