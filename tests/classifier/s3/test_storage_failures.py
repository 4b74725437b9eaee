"""S3 that throttles, stalls, lies or hangs up: what is tried again, for how long, and over which connection."""

from __future__ import annotations

import io
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from classifier.errors import StorageUnavailableError
from classifier.s3 import exchange
from classifier.s3 import http as s3_http
from classifier.s3.endpoint import Endpoint
from classifier.s3.sigv4 import Credentials
from classifier.s3.storage import S3, ObjectMissingError
from tests.support.origin import raw, reply, then_hang, then_reset, trickle
from tests.support.scripted_s3 import HEAD, INTERNAL, MIB, SLOW_DOWN, ScriptedS3, closing, closing_after, error, soon
from tests.support.scripted_s3 import short_pauses as short_pauses

if TYPE_CHECKING:
    from tests.support.origin import Behaviour


@pytest.mark.parametrize(
    "trouble",
    [
        SLOW_DOWN,
        INTERNAL,
        error("502 Bad Gateway", "no code"),
        error("429 Too Many Requests", "TooManyRequests"),
        closing(),
        closing(raw(HEAD + b"Content-Length: 9\r\n\r\npart")),
        closing(then_reset(HEAD + b"Content-Length: 9\r\n\r\npart")),
        closing(raw(HEAD)),
        closing(raw(HEAD + b"ETag: ")),
        closing(raw(HEAD + b"Content-Length: 7")),
        closing(raw(HEAD + b"\r\npart")),
        closing(raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\npa")),
        closing(raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
        closing(raw(b"HTTP/1.1 banana\r\n\r\n")),
        closing(raw(HEAD + b"Content-Length: 4\r\n" + b"A: b\r\n" * 200 + b"\r\ndata")),
        closing(raw(HEAD + b"A: " + b"b" * 100_000 + b"\r\n\r\n")),
    ],
)
def test_trouble_that_passes_is_tried_again_and_trouble_that_stays_is_unavailable(trouble: Behaviour) -> None:
    with ScriptedS3(trouble, trouble, reply(b"picture")) as s3:
        assert s3.client.get("b", "k", soon(), max_bytes=MIB) == b"picture"
        assert len(s3.requests) == 3
    with ScriptedS3(trouble, trouble, reply(b"picture")) as s3:
        file = io.BytesIO(b"what was there before")
        s3.client.download("b", "k", soon(), max_bytes=MIB, into=file)
        assert file.getvalue() == b"picture"
    with ScriptedS3(trouble) as s3:
        with pytest.raises(StorageUnavailableError):
            s3.client.get("b", "k", soon(), max_bytes=MIB)
        assert len(s3.requests) == 3


@pytest.mark.parametrize(
    "slow",
    [
        then_hang(b""),
        then_hang(HEAD),
        then_hang(HEAD + b"Content-Length: 9\r\n\r\npart"),
        trickle(b"", b"H"),
        trickle(HEAD + b"X: ", b"x"),
        trickle(HEAD, b"X: y\r\n"),
        trickle(HEAD + b"Content-Length: 99999\r\n\r\n"),
        trickle(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        trickle(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"Trailer: x\r\n"),
        trickle(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        SLOW_DOWN,
    ],
)
def test_nothing_outlives_the_deadline(slow: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "ATTEMPTS", 1_000_000)
    deadline = soon(0.3)
    with ScriptedS3(slow) as s3, pytest.raises(StorageUnavailableError):
        s3.client.get("b", "k", deadline, max_bytes=MIB)
    assert time.monotonic() < deadline + 2


def test_a_deadline_that_has_passed_makes_no_request() -> None:
    with ScriptedS3(reply(b"x")) as s3:
        with pytest.raises(StorageUnavailableError):
            s3.client.get("b", "k", soon(-1), max_bytes=MIB)
        assert s3.requests == []


def test_silence_on_one_connection_leaves_time_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_http, "LONGEST_SILENCE_S", 0.1)
    with ScriptedS3(then_hang(HEAD), reply(b"picture")) as s3:
        assert s3.client.get("b", "k", soon(), max_bytes=MIB) == b"picture"


@pytest.mark.parametrize(("before", "after"), [(0.1, 0.0), (0.0, 0.6)])
def test_a_large_upload_may_take_long_while_it_goes_on_and_while_it_is_stored(
    before: float, after: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece is read late, or the whole is answered late: 600 MB at S3's 85 MB/s take longer than any silence."""
    monkeypatch.setattr(s3_http, "LONGEST_SILENCE_S", 0.3)
    monkeypatch.setattr(s3_http, "STORED_BYTES_S", 40 * MIB)
    size, got = 16 * MIB, 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB // 4)

        def serve() -> None:
            nonlocal got
            client, _ = listener.accept()
            with client:
                data = client.recv(1 << 16)
                got = len(data.partition(b"\r\n\r\n")[2])
                while got < size:
                    time.sleep(before)
                    got += len(client.recv(MIB, socket.MSG_WAITALL if size - got > MIB else 0))
                time.sleep(after)
                client.sendall(b"HTTP/1.1 200 OK\r\nETag: e\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        client = S3(Endpoint("eu-central-1", f"http://127.0.0.1:{port}"), lambda: Credentials("AKID", "secret"))
        assert client.put("b", "k", bytes(size), soon(20), content_type="application/octet-stream") == "e"
        thread.join(5)
    assert got == size


def test_a_connection_serves_many_requests() -> None:
    chunked = raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\n")
    with ScriptedS3(reply(b"one"), chunked, reply(b""), error("404 Not Found", "NoSuchKey"), reply(b"five")) as s3:
        client = s3.client
        assert [client.get("b", "k", soon(), max_bytes=MIB) for _ in range(3)] == [b"one", b"abc", b""]
        with pytest.raises(ObjectMissingError):
            client.get("b", "k", soon(), max_bytes=MIB)
        assert client.get("b", "k", soon(), max_bytes=MIB) == b"five"
        assert s3.connections == 1


def test_a_kept_connection_that_the_server_has_closed_is_not_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "ATTEMPTS", 1)
    with ScriptedS3(closing_after(0.01, reply(b"one")), reply(b"two")) as s3:
        client = s3.client
        assert client.get("b", "k", soon(), max_bytes=MIB) == b"one"
        time.sleep(0.1)
        assert client.get("b", "k", soon(), max_bytes=MIB) == b"two"
        assert s3.connections == 2


def test_a_connection_that_failed_is_not_kept() -> None:
    with ScriptedS3(closing(reply(b"x", length=9)), reply(b"picture")) as s3:
        client = s3.client
        assert client.get("b", "k", soon(), max_bytes=MIB) == b"picture"
        assert client.get("b", "k", soon(), max_bytes=MIB) == b"picture"
        assert s3.connections == 2


def test_no_server_at_all_is_unavailable() -> None:
    with ScriptedS3(reply(b"")) as s3:
        client = s3.client
    with pytest.raises(StorageUnavailableError, match="ConnectionRefusedError"):
        client.get("b", "k", soon(), max_bytes=MIB)


def test_a_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20) and [])
    client = S3(Endpoint("eu-central-1", "http://hangs.test"), lambda: Credentials("AKID", "secret"))
    deadline = soon(0.3)
    with pytest.raises(StorageUnavailableError, match="too long"):
        client.get("b", "k", deadline, max_bytes=MIB)
    assert time.monotonic() < deadline + 2
    over.set()
