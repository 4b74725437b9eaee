"""S3 behind a proxy that spoils replies: late, cut off, reset, refused, or an error page, from any request on."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.support.answering import Answering

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.web import RequestHandler

FAULTS = ("503", "500", "403", "reset", "truncated", "garbage", "slow")
_CODES = {"503": "SlowDown", "500": "InternalError", "403": "AccessDenied"}
LATE_S = 0.02


class TroubledS3(Answering):
    """A proxy in front of S3 at `endpoint`. `fault` says of each request, by number and method, what goes wrong."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self.fault: Callable[[int, str], str | None] = lambda _number, _method: None
        self.count = 0
        self._lock = threading.Lock()
        self._target = urlsplit(endpoint)

    def answer(self, asked: RequestHandler) -> None:
        """Pass one request on, or spoil it. What is spoiled on the way back was done; what is refused was not."""
        body = asked.read_body(1 << 30)
        with self._lock:
            number, self.count = self.count, self.count + 1
        fault = self.fault(number, asked.command)
        if fault in _CODES:
            page = f"<Error><Code>{_CODES[fault]}</Code><Message>as told</Message></Error>".encode()
            _send(asked, int(fault), {"Content-Type": "application/xml"}, page)
            return
        if fault == "slow":
            time.sleep(LATE_S)
        connection = http.client.HTTPConnection(self._target.netloc, timeout=30)
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


def _send(asked: RequestHandler, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False) -> None:
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
