"""S3 behind a proxy that spoils replies: late, cut off, reset, refused, or an error page, from any request on."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

FAULTS = ("503", "500", "403", "reset", "truncated", "garbage", "slow")
_CODES = {"503": "SlowDown", "500": "InternalError", "403": "AccessDenied"}
LATE_S = 0.02


class TroubledS3:
    """A proxy in front of S3 at `endpoint`. `fault` says of each request, by number and method, what goes wrong."""

    def __init__(self, endpoint: str) -> None:
        self.fault: Callable[[int, str], str | None] = lambda _number, _method: None
        self.count = 0
        self._lock = threading.Lock()
        proxy, target = self, urlsplit(endpoint)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.answer(self, target.hostname or "", target.port or 80)

            do_PUT = do_POST = do_HEAD = do_DELETE = do_GET  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: BaseHTTPRequestHandler, host: str, port: int) -> None:
        """Pass one request on, or spoil it. What is spoiled on the way back was done; what is refused was not."""
        body = asked.rfile.read(int(asked.headers.get("Content-Length") or 0))
        with self._lock:
            number, self.count = self.count, self.count + 1
        fault = self.fault(number, asked.command)
        if fault in _CODES:
            page = f"<Error><Code>{_CODES[fault]}</Code><Message>as told</Message></Error>".encode()
            _send(asked, int(fault), {"Content-Type": "application/xml"}, page)
            return
        if fault == "slow":
            time.sleep(LATE_S)
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request(asked.command, asked.path, body, dict(asked.headers.items()))
        reply = connection.getresponse()
        data, headers = reply.read(), dict(reply.getheaders())
        connection.close()
        if fault == "reset":
            asked.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            asked.close_connection = True
            asked.connection.close()
            return
        if fault == "garbage":
            data = b"<html>" + data[: len(data) // 2]
        _send(asked, reply.status, headers, data, cut=fault == "truncated")


def _send(
    asked: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False
) -> None:
    asked.send_response_only(status)
    for name, value in headers.items():
        if name.lower() not in ("content-length", "transfer-encoding", "connection"):
            asked.send_header(name, value)
    length = headers.get("Content-Length") if asked.command == "HEAD" else None
    asked.send_header("Content-Length", length or str(len(data)))
    asked.end_headers()
    if asked.command != "HEAD":
        asked.wfile.write(data[: len(data) // 2] if cut else data)
    asked.close_connection = asked.close_connection or cut
