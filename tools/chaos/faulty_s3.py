"""The S3 that the functions see: it passes requests on to the real one, or does what the fault of the moment says."""

from __future__ import annotations

import threading
from http.client import HTTPConnection
from random import Random
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from local.web import RequestHandler, Server
from tests.support.origin import Peer
from tools.chaos.faults import Fault, S3Call, pass_on

if TYPE_CHECKING:
    from types import TracebackType

_DROPPED = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class FaultyS3:
    """A server in front of `upstream`; `fault` may be exchanged at any time and counts for requests that come then."""

    def __init__(self, upstream: str, seed: str) -> None:
        self.fault: Fault | None = None
        self._upstream = urlsplit(upstream).netloc
        self._chance = Random(seed)
        self._stopping = threading.Event()
        owner = self

        class Handler(_Handler):
            s3 = owner

        self._server = Server(Handler)

    @property
    def url(self) -> str:
        """The endpoint for S3 clients."""
        return f"http://{self._server.address}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.stop()

    def answer(self, request: _Handler) -> None:
        """Answer one request as the fault of this moment has it; OSError ends the connection."""
        fault, body = self.fault, request.rfile.read(int(request.headers.get("content-length", 0)))
        call = S3Call(
            is_list="list-type=" in request.path or "versions" in request.path.partition("?")[2],
            path=request.path.partition("?")[0],
            headers={name.lower(): value for name, value in request.headers.items()},
            peer=(_HeadPeer if request.command == "HEAD" else Peer)(request.connection, self._stopping),
            forward=lambda: self._forward(request.command, request.path, dict(request.headers.items()), body),
            over=lambda: self.fault is not fault,
            chance=self._chance,
        )
        (fault.behave if fault else pass_on)(call)

    def _forward(self, method: str, target: str, headers: dict[str, str], sent: bytes) -> bytes:
        connection = HTTPConnection(self._upstream, timeout=30)
        try:
            connection.request(method, target, body=sent or None, headers=headers)
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        kept = [f"{name}: {value}" for name, value in reply.getheaders() if name.lower() not in _DROPPED]
        lines = [f"HTTP/1.1 {reply.status} {reply.reason}", *kept, f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode() + body


class _HeadPeer(Peer):
    """A client that asked for a head: an error's body is not for it."""

    def send(self, data: bytes) -> None:
        """The head alone."""
        head, end, _ = data.partition(b"\r\n\r\n")
        super().send(head + end)


class _Handler(RequestHandler):
    """What functions ask of S3: they read models and pictures, and keep some of the latter."""

    s3: FaultyS3

    def do_GET(self) -> None:
        try:
            self.s3.answer(self)
        except OSError:
            self.close_connection = True

    do_HEAD = do_PUT = do_GET  # noqa: N815 - names that http.server asks for
