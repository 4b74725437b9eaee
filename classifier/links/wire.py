"""Buffered reading from a socket under one deadline: no read, however slowly it is fed, outlives it."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

RECEIVE_BYTES = 1 << 16


class BrokenStreamError(Exception):
    """The stream ended too early, or a line in it is too long."""


class Wire:
    """A connected socket, every send and receive bounded by the time left until `end` (on time.monotonic's clock).

    Raises TimeoutError when it passes.
    """

    def __init__(self, sock: socket.socket, end: float) -> None:
        self._sock, self._end, self._buffer = sock, end, bytearray()

    def send(self, data: bytes) -> None:
        """Send everything, unless the peer closes before: it may have answered already, and the answer says why."""
        self._sock.settimeout(self._left())
        with suppress(ConnectionError):
            self._sock.sendall(data)

    def line(self, max_bytes: int) -> bytes:
        """The next line without its end; a bare LF ends one too (RFC 9112 section 2.2)."""
        searched = 0
        while (found := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > max_bytes or not self._receive():
                raise BrokenStreamError("a line without end")
        if found > max_bytes:
            raise BrokenStreamError(f"a line of {found} bytes")
        line = bytes(self._buffer[:found])
        del self._buffer[: found + 1]
        return line.removesuffix(b"\r")

    def take(self, count: int, into: bytearray) -> None:
        """Append exactly `count` bytes to `into`."""
        while count:
            if not self._buffer and not self._receive():
                raise BrokenStreamError(f"{count} bytes are missing")
            part = self._buffer[:count]
            del self._buffer[:count]
            into += part
            count -= len(part)

    def take_all(self, max_bytes: int) -> bytearray:
        """Everything up to the end of the stream, or a little over `max_bytes` when there is more."""
        while len(self._buffer) <= max_bytes and self._receive():
            pass
        return self._buffer

    def _receive(self) -> bool:
        self._sock.settimeout(self._left())
        data = self._sock.recv(RECEIVE_BYTES)
        self._buffer += data
        return bool(data)

    def _left(self) -> float:
        left = self._end - monotonic()
        if left <= 0:
            raise TimeoutError("the deadline passed")
        return left
