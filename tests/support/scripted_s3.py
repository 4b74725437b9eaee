"""An S3 on the loopback that answers each request as its script says, over connections that it keeps alive."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from classifier.s3 import exchange
from classifier.s3.endpoint import Endpoint
from classifier.s3.sigv4 import Credentials
from classifier.s3.storage import S3
from tests.support.origin import Listening, Peer, reply, request_of

if TYPE_CHECKING:
    import socket

    from tests.support.origin import Behaviour


def error(status: str, code: str, *headers: str, message: str = "") -> Behaviour:
    """S3's error reply."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return reply(body, "Content-Type: application/xml", *headers, status=status)


HEAD = b"HTTP/1.1 200 OK\r\n"
SLOW_DOWN = error("503 Slow Down", "SlowDown")
INTERNAL = error("500 Internal Server Error", "InternalError")
MIB = 1_000_000


def closing(behaviour: Behaviour | None = None) -> Behaviour:
    """The behaviour, if any, then the end of the connection."""

    def behave(peer: Peer) -> None:
        if behaviour is not None:
            behaviour(peer)
        raise ConnectionAbortedError

    return behave


def closing_after(seconds: float, behaviour: Behaviour) -> Behaviour:
    """The behaviour, and a little later, between two requests, the end of the connection."""

    def behave(peer: Peer) -> None:
        behaviour(peer)
        peer.pause(seconds)
        raise ConnectionAbortedError

    return behave


class ScriptedS3(Listening):
    """One behaviour a request, the last for all that follow. `requests` are heads as they came."""

    def __init__(self, *script: Behaviour) -> None:
        super().__init__()
        self._script = list(script)
        self.requests: list[str] = []
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> S3:
        """A fresh client of it, without kept connections."""
        return S3(Endpoint("eu-central-1", self.url), lambda: Credentials("AKID", "secret", "token"))

    def serve(self, client: socket.socket) -> None:
        client.settimeout(10)
        with suppress(OSError), client:
            while request := request_of(client):
                self.requests.append(request.partition(b"\r\n\r\n")[0].decode())
                with self._lock:
                    behave = self._script.pop(0) if len(self._script) > 1 else self._script[0]
                behave(Peer(client, self._stopping))


def soon(seconds: float = 3.0) -> float:
    """A deadline on time.monotonic's clock."""
    return time.monotonic() + seconds


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BACKOFF_S", 0.001)
