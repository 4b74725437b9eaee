"""A small threaded HTTP/1.1 server on the loopback address: what the runtime API and the gateways stand on."""

from __future__ import annotations

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Executor

LOOPBACK = "127.0.0.1"


class BodyTooLargeError(Exception):
    """The request's body is larger than the server takes."""


class RequestHandler(BaseHTTPRequestHandler):
    """One connection: keeps it open, is quiet, and reads bodies of a stated length or in chunks."""

    protocol_version = "HTTP/1.1"
    # Headers and body leave in two writes: without this, delayed acknowledgements cost 40 ms a reply.
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay quiet: the REPORT line tells of the request."""

    def read_body(self, limit: int) -> bytes:
        """Return the whole body; BodyTooLargeError above `limit` bytes, with the rest read and dropped."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks(limit)
        length = int(self.headers.get("Content-Length") or 0)
        if length <= limit:
            return self.rfile.read(length)
        self._drop(length)
        raise BodyTooLargeError(length)

    def _read_chunks(self, limit: int) -> bytes:
        body = bytearray()
        while size := int(self.rfile.readline(100).split(b";")[0], 16):
            if len(body) + size > limit:
                self.close_connection = True
                raise BodyTooLargeError
            body += self.rfile.read(size)
            self.rfile.readline(3)
        while self.rfile.readline(8192).strip():
            pass
        return bytes(body)

    def _drop(self, length: int) -> None:
        # Closing with unread bytes resets the connection, and the client never sees the reply.
        self.close_connection = True
        for _ in range(min(length, 1 << 28) >> 16):
            if not self.rfile.read(1 << 16):
                return
        self.rfile.read(length & 0xFFFF)

    def send(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send one whole reply; HEAD, 204 and 304 get no body."""
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and status not in {204, 304}:
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """A server with a thread a connection; `stop` also cuts connections that are open."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, handler: type[RequestHandler], port: int = 0, workers: Executor | None = None) -> None:
        self._open: set[socket.socket] = set()
        self._workers = workers
        super().__init__((LOOPBACK, port), handler)
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{LOOPBACK}:{self.server_address[1]}"

    def start(self) -> None:
        """Serve from a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving, cut what is open, let the workers go."""
        if self._workers is not None:
            self._workers.shutdown(wait=False, cancel_futures=True)
        self.shutdown()
        self.server_close()
        for connection in tuple(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        """Remember the connection, so that `stop` can cut it."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Forget the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that went away is no news."""
