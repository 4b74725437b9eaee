"""HTTP to S3: kept-alive connections, one deadline over connect, headers and body.

Written instead of using http.client, which has no deadline, and whose import (the email package reads its headers) is a
tenth of INIT. Replies are read by RFC 9112, from S3 and hosts like it; strangers' servers are `links`' to withstand.
"""

from __future__ import annotations

import io
import socket
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from classifier.records import Record

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from typing import IO

CHUNK_BYTES = 1 << 20
ERROR_BYTES = 1 << 16
MAX_LINE_BYTES = 1 << 16
MAX_FIELDS = 100
LONGEST_SILENCE_S = 5.0
STORED_BYTES_S = 25 << 20
"""S3 answers an upload once it has stored the whole: it may be silent a second longer for so many bytes."""
PORTS = {"http": 80, "https": 443}
WITHOUT_BODY = (204, 304)
UNKNOWN = 1 << 62
HEXADECIMAL = b"0123456789abcdefABCDEF"


class BrokenReplyError(Exception):
    """What came is no HTTP reply, or ended too early."""


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
        self.idle: list[_Connection] = []

    def send(self, call: Call) -> Reply:
        """One exchange; OSError or BrokenReplyError if it fails, TimeoutError also when `call.deadline` passes."""
        opened = self.open(call)
        try:
            return opened.reply()
        finally:
            opened.close()

    def open(self, call: Call) -> Opened:
        """The beginning of one exchange, with the body still to be read; errors as `send` has them."""
        while True:
            connection, reused = self._connection(call)
            try:
                return Opened(self, connection, call)
            except (ConnectionError, BrokenReplyError):
                connection.close()
                # S3 closes idle connections, and Lambda freezes us for minutes: a kept one may be dead.
                if not reused:
                    raise
            except BaseException:
                connection.close()
                raise

    def _connection(self, call: Call) -> tuple[_Connection, bool]:
        try:
            return self.idle.pop(), True
        except IndexError:
            return _Connection(_connected(self.scheme, self.host, call.patience_s())), False


class Opened:
    """A reply whose body is read while it arrives. Close it; a connection whose body was read whole is kept."""

    def __init__(self, pool: Pool, connection: _Connection, call: Call) -> None:
        """Send the request and read the reply's head."""
        self._pool, self._connection, self._call = pool, connection, call
        connection.send(call)
        self.status, self.headers = connection.head()
        bodiless = call.method == "HEAD" or self.status in WITHOUT_BODY
        self._chunked = not bodiless and self.headers.get("transfer-encoding", "").lower() == "chunked"
        self._left = 0 if bodiless or self._chunked else self._announced()
        """Bytes of the body, or of the chunk, that are still to come."""
        self._ended = not self._chunked and not self._left

    def _announced(self) -> int:
        """The body's length. Without one the end counts as cut short: a connection that broke in the head looks so."""
        length = self.headers.get("content-length", str(UNKNOWN))
        if not (length.isascii() and length.isdigit()):
            raise BrokenReplyError(f"a Content-Length that is no number: {length[:20]!r}")
        return int(length)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, empty at the end; OSError or BrokenReplyError, also when the body is cut short."""
        if not self._left and not self._ended:
            self._left = self._connection.chunk_size()
            self._ended = not self._left
        if self._ended:
            return b""
        data = self._connection.some(min(size, self._left))
        self._left -= len(data)
        if not self._left:
            if self._chunked:
                self._connection.line()  # a chunk's own end
            else:
                self._ended = True
        return data

    def reply(self) -> Reply:
        """The whole of it, the body in `call.into` if there is one and this is a success."""
        if self.status < 300:
            return Reply(self.status, self.headers, self._whole(self._call.max_bytes, self._call.into))
        return Reply(self.status, self.headers, self._whole(max(self._call.max_bytes, ERROR_BYTES), None))

    def _whole(self, max_bytes: int, into: IO[bytes] | None) -> bytes:
        """The body, or nothing once it is in `into`, which loses what an attempt before left in it."""
        if max_bytes < self._left < UNKNOWN:
            raise TooLargeError(f"{self._left} bytes, at most {max_bytes} are read")
        chunks: list[bytes] = []
        take: Callable[[bytes], object] = chunks.append
        if into is not None:
            into.seek(0)
            into.truncate()
            take = into.write
        size = 0
        while chunk := self.read(CHUNK_BYTES):
            size += len(chunk)
            if size > max_bytes:
                raise TooLargeError(f"more than {max_bytes} bytes")
            take(chunk)
        return b"".join(chunks)

    def close(self) -> None:
        if self._ended and self.headers.get("connection", "").lower() != "close" and self._connection.persistent:
            self._pool.idle.append(self._connection)
        else:
            self._connection.close()


class _Connection:
    """A connected socket, whose every read and write ends by the deadline of the call that it serves."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._reads = sock, _TimedReads(sock)
        self._buffer = io.BufferedReader(self._reads)
        self.persistent = True

    def send(self, call: Call) -> None:
        self._reads.call = call
        fields = {**call.headers, "accept-encoding": "identity"}
        if call.payload or call.method == "PUT":
            fields["content-length"] = str(len(call.payload))
        lines = [f"{call.method} {call.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line's end in a header")
        for data in ("\r\n".join([*lines, "", ""]).encode("latin-1"), call.payload):
            for start in range(0, len(data), CHUNK_BYTES):  # a socket's time limit counts for all that is sent at once
                self._sock.settimeout(call.patience_s())
                self._sock.sendall(memoryview(data)[start : start + CHUNK_BYTES])

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and header fields of the final reply."""
        while True:
            version, _, rest = self.line().partition(b" ")
            status = rest[:3]
            if not version.startswith(b"HTTP/1.") or not status.isdigit() or len(status) != 3:
                raise BrokenReplyError(f"no HTTP/1 status line: {version[:40]!r}")
            fields: dict[str, str] = {}
            for _ in range(MAX_FIELDS + 1):
                line = self.line().decode("latin-1")
                if not line:
                    break
                name, colon, value = line.partition(":")
                if not colon:
                    raise BrokenReplyError("a header line that is no field")
                fields[name.lower()] = value.strip()
            else:
                raise BrokenReplyError(f"more than {MAX_FIELDS} header fields")
            if int(status) >= 200:
                self.persistent = version != b"HTTP/1.0"
                return int(status), fields

    def chunk_size(self) -> int:
        """How many bytes the next chunk has; after the last, of 0, trailers are read too."""
        size = self.line().partition(b";")[0].strip()
        if not size or size.strip(HEXADECIMAL):
            raise BrokenReplyError(f"a chunk size that is no number: {size[:20]!r}")
        found = int(size, 16)
        while not found and self.line():
            pass
        return found

    def line(self) -> bytes:
        """The next line without its end."""
        line = self._buffer.readline(MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise BrokenReplyError("a line without end")
        return line.rstrip(b"\r\n")

    def some(self, size: int) -> bytes:
        """At least one byte of the body and at most `size`, as they come."""
        data = self._buffer.read1(size)
        if not data:
            raise BrokenReplyError("the body was cut short")
        return data

    def close(self) -> None:
        self._buffer.close()
        self._sock.close()


class _TimedReads(io.RawIOBase):
    """A socket's bytes, each read under the call's deadline: a server may be slow with any one."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.call: Call | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any writable buffer
        assert self.call is not None
        self._sock.settimeout(self.call.patience_s())
        return self._sock.recv_into(buffer)


def _connected(scheme: str, host: str, seconds: float) -> socket.socket:
    """Connect in a thread that is left behind when it hangs: looking up the name takes no time limit."""
    parts = urlsplit(f"//{host}")
    name, port = (parts.hostname or "").encode(), parts.port or PORTS[scheme]  # for str the IDNA codec is imported
    done: list[socket.socket] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            sock = socket.create_connection((name, port), seconds)  # type: ignore[arg-type]  # getaddrinfo's are wider
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            done.append(_tls().wrap_socket(sock, server_hostname=name) if scheme == "https" else sock)
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that asked
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError("connecting takes too long")
    if failures:
        raise failures[0]
    return done[0]


@cache
def _tls() -> ssl.SSLContext:
    """Python's default verification, read once: the authorities' certificates take tens of milliseconds."""
    import ssl

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
