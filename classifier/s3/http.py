"""HTTP to S3: kept-alive connections, one deadline over connect, headers and body."""

from __future__ import annotations

import io
import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import TYPE_CHECKING, Any, cast

from classifier.records import Record

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping
    from typing import IO

__all__ = ["Call", "HTTPException", "Pool", "Reply", "TooLargeError"]

CHUNK_BYTES = 1 << 20
ERROR_BYTES = 1 << 16
LONGEST_SILENCE_S = 5.0
STORED_BYTES_S = 25 << 20
"""S3 answers an upload once it has stored the whole: it may be silent a second longer for so many bytes."""


class TooLargeError(Exception):
    """The body is larger than allowed."""


class Reply(Record):
    """Status, headers (names in lower case) and whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Call(Record, kw_only=True):
    """One request: `target` is path and query as sent; the whole exchange ends by `deadline` (time.monotonic())."""

    method: str
    target: str
    headers: Mapping[str, str]
    payload: bytes
    deadline: float
    max_bytes: int
    """The longest body that is read."""
    into: IO[bytes] | None = None
    """Where the body of a success goes, instead of into the reply."""

    def patience_s(self) -> float:
        """The time that the next step may take; TimeoutError if none is left."""
        silence = LONGEST_SILENCE_S + len(self.payload) / STORED_BYTES_S
        left = min(self.deadline - time.monotonic(), silence)
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


class Pool:
    """Connections to one host; a connection serves one thread at a time and is kept for the next."""

    def __init__(self, scheme: str, host: str) -> None:
        self.scheme, self.host = scheme, host
        self.idle: list[HTTPConnection] = []

    def send(self, call: Call) -> Reply:
        """One exchange; OSError or HTTPException if it fails, TimeoutError also when `call.deadline` passes."""
        while True:
            connection, reused = self._connection()
            try:
                reply = _exchange(connection, call)
            except (ConnectionError, HTTPException):
                connection.close()
                # S3 closes idle connections, and Lambda freezes us for minutes: a kept one may be dead.
                if not reused:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                self.idle.append(connection)
                return reply

    def open(self, call: Call) -> Opened:
        """The beginning of one exchange, with the body still to be read; errors as `send` has them."""
        while True:
            connection, reused = self._connection()
            try:
                return Opened(self, connection, _ask(connection, call), call)
            except (ConnectionError, HTTPException):
                connection.close()
                if not reused:
                    raise
            except BaseException:
                connection.close()
                raise

    def _connection(self) -> tuple[HTTPConnection, bool]:
        try:
            return self.idle.pop(), True
        except IndexError:
            return (HTTPSConnection if self.scheme == "https" else HTTPConnection)(self.host), False


class Opened:
    """A reply whose body is read while it arrives. Close it; a connection whose body was read whole is kept."""

    def __init__(self, pool: Pool, connection: HTTPConnection, response: HTTPResponse, call: Call) -> None:
        self._pool, self._connection, self._response, self._call = pool, connection, response, call
        self.status = response.status

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, empty at the end; OSError or HTTPException, also when the body is cut short."""
        data = self._response.read(size)
        if not data and self._response.length:
            raise IncompleteRead(b"", self._response.length)
        return data

    def reply(self) -> Reply:
        """The whole of it, for what is no success."""
        return _reply(self._response, self._call)

    def close(self) -> None:
        if self._response.isclosed() and self._connection.sock is not None:
            self._pool.idle.append(self._connection)
        else:
            self._response.close()
            self._connection.close()


def _exchange(connection: HTTPConnection, call: Call) -> Reply:
    with _ask(connection, call) as response:
        return _reply(response, call)


def _ask(connection: HTTPConnection, call: Call) -> HTTPResponse:
    connection.timeout = call.patience_s()
    if connection.sock is None:
        _connect(connection, connection.timeout)
    else:
        connection.sock.settimeout(connection.timeout)
    # http.client's own reads take as long as the server likes, one byte before each time-out.
    timed = lambda sock, *rest, **named: _TimedResponse(sock, call, *rest, **named)  # noqa: E731
    connection.response_class = cast("type[HTTPResponse]", timed)
    body = _pieces(connection, call) if call.payload else None
    headers = {**call.headers, "content-length": str(len(call.payload))} if body else dict(call.headers)
    connection.request(call.method, call.target, body=body, headers=headers)
    return connection.getresponse()


def _pieces(connection: HTTPConnection, call: Call) -> Iterator[memoryview]:
    """The payload, each piece with a time limit of its own: a socket's counts for all that is sent at once."""
    rest = memoryview(call.payload)
    for start in range(0, len(rest), CHUNK_BYTES):
        connection.sock.settimeout(call.patience_s())
        yield rest[start : start + CHUNK_BYTES]


def _reply(response: HTTPResponse, call: Call) -> Reply:
    if response.status < 300:
        body = _read(response, call.max_bytes, call.into)
    else:
        body = _read(response, max(call.max_bytes, ERROR_BYTES), None)
    return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


def _connect(connection: HTTPConnection, seconds: float) -> None:
    """Connect in a thread that is left behind when it hangs: looking up the name takes no time limit."""
    failures: list[Exception] = []

    def run() -> None:
        try:
            connection.connect()
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that asked
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError("connecting takes too long")
    if failures:
        raise failures[0]


class _TimedResponse(HTTPResponse):
    """A response whose every read, of status line and headers too, ends by the call's deadline."""

    def __init__(self, sock: socket.socket, call: Call, *rest: Any, **named: Any) -> None:  # noqa: ANN401 - http.client's
        super().__init__(sock, *rest, **named)
        self.fp.close()
        self.fp = io.BufferedReader(_TimedReads(sock, call))


class _TimedReads(io.RawIOBase):
    def __init__(self, sock: socket.socket, call: Call) -> None:
        self._sock, self._call = sock, call
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any writable buffer
        self._sock.settimeout(self._call.patience_s())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _read(response: HTTPResponse, max_bytes: int, into: IO[bytes] | None) -> bytes:
    """The body, or nothing once it is in `into`, which loses what an attempt before left in it."""
    announced = response.length
    if announced is not None and announced > max_bytes:
        raise TooLargeError(f"{announced} bytes, at most {max_bytes} are read")
    chunks: list[bytes] = []
    take: Callable[[bytes], object] = chunks.append
    if into is not None:
        into.seek(0)
        into.truncate()
        take = into.write
    size = 0
    while size <= max_bytes:
        chunk = response.read1(CHUNK_BYTES)
        if not chunk:
            if announced is not None and size != announced:
                raise IncompleteRead(b"", announced - size)
            if announced is None and not response.chunked:
                # http.client takes a connection that breaks in the head for the head's end, and what follows for all.
                raise IncompleteRead(b"")
            return b"".join(chunks)
        take(chunk)
        size += len(chunk)
    raise TooLargeError(f"more than {max_bytes} bytes")
