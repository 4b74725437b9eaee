"""A web server on the loopback that behaves as badly as it is told to, byte by byte, over HTTP or HTTPS.

with Origin({"/a.jpg": reply(body=b"..."), "/slow": trickle(b"HTTP/1.1 200 OK\\r\\n")}) as origin:
    fetch(origin.url("/a.jpg"), ...)
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    Behaviour = Callable[["Peer"], None]


class Peer:
    """One client's connection, after its request was read."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.sock, self._stopping = sock, stopping

    def send(self, data: bytes) -> None:
        """Send everything; OSError when the client has gone, which ends the behaviour."""
        self.sock.sendall(data)

    def pause(self, seconds: float) -> None:
        """Wait, unless the server stops: OSError then."""
        if self._stopping.wait(seconds):
            raise ConnectionAbortedError

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def reply(
    body: bytes = b"", *headers: str, status: str = "200 OK", length: int | str | None = None, version: str = "1.1"
) -> Behaviour:
    """An orderly reply; `length` is a lie about the body's."""
    lines = [f"HTTP/{version} {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return raw("\r\n".join([*lines, "", ""]).encode() + body)


def redirect(location: str, status: str = "302 Found") -> Behaviour:
    """A redirect to `location`."""
    return raw(f"HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())


def raw(data: bytes) -> Behaviour:
    """Exactly these bytes, then the end of the connection."""
    return lambda peer: peer.send(data)


def then_hang(data: bytes) -> Behaviour:
    """These bytes, then silence on an open connection."""

    def behave(peer: Peer) -> None:
        peer.send(data)
        peer.pause(60)

    return behave


def then_reset(data: bytes) -> Behaviour:
    """These bytes, then a TCP reset."""

    def behave(peer: Peer) -> None:
        peer.send(data)
        peer.pause(0.05)
        peer.reset()

    return behave


def trickle(data: bytes, part: bytes = b"x", pause_s: float = 0.02) -> Behaviour:
    """These bytes, then `part` for ever with pauses, so that no single read ever waits long."""

    def behave(peer: Peer) -> None:
        peer.send(data)
        while True:
            peer.pause(pause_s)
            peer.send(part)

    return behave


def endless(data: bytes, part: bytes = b"x" * 65_536) -> Behaviour:
    """These bytes, then `part` for ever, as fast as it goes."""

    def behave(peer: Peer) -> None:
        peer.send(data)
        while True:
            peer.send(part)

    return behave


class Listening:
    """A server on the loopback: each connection goes to `serve`, in a thread of its own, until it stops."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.connections = 0
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server((host, port), backlog=16)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RD)  # wakes the thread that waits for the next request
        for thread in self._threads:
            thread.join(5)

    def serve(self, client: socket.socket) -> None:
        """One connection."""
        raise NotImplementedError

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._clients.append(client)
                self._start(self.serve, client)


def request_of(client: socket.socket) -> bytes:
    """The next request, until its head is there; nothing if the connection ended before."""
    request = b""
    while b"\r\n\r\n" not in request:
        data = client.recv(65_536)
        if not data:
            return b""
        request += data
    return request


class Origin(Listening):
    """The server: one behaviour a path; requests are kept as they came. A path that has none gets a 404.

    With `reads` off it does not wait for a request: the behaviour of `/` is what every client gets.
    """

    def __init__(
        self,
        paths: dict[str, Behaviour],
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        reads: bool = True,
    ) -> None:
        super().__init__(host, port)
        self.paths = paths
        self.requests: list[bytes] = []
        self._host, self._tls, self._reads = host, tls, reads

    def url(self, path: str = "/", host: str | None = None) -> str:
        """A link to `path` here; `host` names the server otherwise than by its address."""
        return f"{'https' if self._tls else 'http'}://{host or self._host}:{self.port}{path}"

    def serve(self, client: socket.socket) -> None:
        client.settimeout(5)
        with suppress(OSError, ValueError):
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            path = self._path(client) if self._reads else "/"
            self.paths.get(path, reply(status="404 Not Found"))(Peer(client, self._stopping))
        client.close()

    def _path(self, client: socket.socket) -> str:
        request = request_of(client)
        if not request:
            raise ConnectionAbortedError
        self.requests.append(request)
        return request.split(b" ")[1].decode().partition("?")[0]
