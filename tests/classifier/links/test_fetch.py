"""Fetching a link: odd, bad and stalling replies, redirects, and the deadlines."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from classifier.errors import (
    ClassifierError,
    FetchError,
    FetchRedirectError,
    FetchTimeoutError,
    FetchTooManyRedirectsError,
    ImageTooLargeError,
    OutOfTimeError,
)
from classifier.links.fetch import FetchLimits, fetch
from classifier.links.http1 import read_body, read_head
from classifier.links.netguard import AddressRule
from classifier.links.wire import Wire
from tests.support.fetching import LIMITS, LOOPBACK, SOON
from tests.support.origin import Origin, redirect, reply, then_hang
from tests.support.servers import BAD, BODY, CHUNKED, GOOD, OK, STALLS, chunks, gz

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.origin import Behaviour


def got(behaviour: Behaviour, limits: FetchLimits = LIMITS) -> bytes | type[ClassifierError]:
    """What a link to a server with this behaviour gives: its bytes, or the class of the error."""
    with Origin({"/": behaviour}) as origin:
        try:
            return fetch(origin.url(), rule=LOOPBACK, limits=limits)
        except ClassifierError as error:
            return type(error) if "127.0.0.1" not in error.public else ClassifierError


@pytest.mark.parametrize("case", GOOD)
def test_a_reply_that_is_odd_but_sound_gives_its_bytes(case: str) -> None:
    behaviour, body = GOOD[case]
    assert got(behaviour) == body


@pytest.mark.parametrize("case", BAD)
def test_a_bad_reply_gives_its_error(case: str) -> None:
    behaviour, error = BAD[case]
    assert got(behaviour) is error


@pytest.mark.parametrize("case", STALLS)
def test_a_server_that_stalls_is_given_up(case: str) -> None:
    assert got(STALLS[case], SOON) is FetchTimeoutError


def test_the_request_carries_what_it_needs_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    with Origin({"/a": reply(b"x", "Set-Cookie: a=b"), "/b": redirect("/a")}) as origin:
        fetch(origin.url("/b?q=ü#part"), rule=LOOPBACK, limits=LIMITS)
        assert origin.requests == [
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{origin.port}\r\nUser-Agent: keras-lambda-classifier\r\n"
            "Accept: image/*, */*;q=0.5\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n".encode()
            for target in ("/b?q=%C3%BC", "/a")
        ]


@pytest.mark.parametrize("status", ["301 x", "302 x", "303 x", "307 x", "308 x"])
def test_a_redirect_is_followed(status: str) -> None:
    with Origin({"/a/b": redirect("../c?x=1", status), "/c": reply(BODY)}) as origin:
        assert fetch(origin.url("/a/b"), rule=LOOPBACK, limits=LIMITS) == BODY
        assert origin.requests[1].startswith(b"GET /c?x=1 HTTP/1.1\r\n")


def test_four_redirects_are_followed_and_five_are_not() -> None:
    paths: dict[str, Behaviour] = {f"/{left}": redirect(f"/{left - 1}") for left in range(1, 6)}
    with Origin({**paths, "/0": reply(BODY)}) as origin:
        assert fetch(origin.url("/4"), rule=LOOPBACK, limits=LIMITS) == BODY
        with pytest.raises(FetchTooManyRedirectsError):
            fetch(origin.url("/5"), rule=LOOPBACK, limits=LIMITS)
        assert origin.connections == 10


def test_an_answer_given_before_the_request_was_read_counts() -> None:
    with Origin({"/": reply(BODY)}, reads=False) as origin:
        assert fetch(origin.url(), rule=LOOPBACK, limits=LIMITS) == BODY


def test_reading_waits_until_the_deadline_and_no_longer() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TimeoutError):
        Wire(ours, monotonic() + 0.1).line(100)


def test_an_answer_counts_even_if_the_request_can_not_be_sent() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(OK + b"\r\nabc")
    theirs.close()
    with ours:
        wire = Wire(ours, monotonic() + 5)
        wire.send(b"x" * 1_000_000)
        assert read_body(wire, read_head(wire, 1000, 10), 100) == b"abc"


def test_a_bomb_is_not_unpacked_further_than_the_limit() -> None:
    with Origin({"/": reply(gz(bytes(50_000_000)), "Content-Encoding: gzip")}) as origin:
        tracemalloc.start()
        try:
            with pytest.raises(ImageTooLargeError):
                fetch(origin.url(), rule=LOOPBACK, limits=LIMITS)
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()


def test_broken_replies_raise_nothing_but_errors_for_the_caller() -> None:
    chance = random.Random(5)
    whole = [CHUNKED + chunks(BODY[:300], 50) + b"0\r\n\r\n", OK + b"Content-Length: 9\r\nX: y\r\n\r\n123456789"]
    whole.append(OK + b"Content-Encoding: gzip, deflate\r\n\r\n" + gz(gz(BODY), 15))
    for _ in range(1500):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(data))
            data[at : at + chance.choice([0, 1, 9])] = chance.choice(
                [b"", b"\r", b"\n", b"0", b"-", b",", b"\xff", b":"]
            )
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            wire = Wire(ours, monotonic() + 5)
            with suppress(FetchError, ImageTooLargeError):
                read_body(wire, read_head(wire, 1000, 10), 20_000)


def test_redirects_share_one_deadline() -> None:
    with Origin({}) as origin:

        def slow(peer: Any) -> None:
            peer.pause(0.08)
            redirect("/")(peer)

        origin.paths["/"] = slow
        with pytest.raises(FetchTimeoutError):
            fetch(origin.url(), rule=LOOPBACK, limits=SOON)


def test_a_redirect_to_a_port_that_is_not_on_the_list_is_refused() -> None:
    with Origin({}) as target, Origin({"/": redirect(target.url())}) as origin:
        rule = AddressRule(ports=frozenset({origin.port}), also_allowed=LOOPBACK.also_allowed)
        with pytest.raises(FetchRedirectError):
            fetch(origin.url(), rule=rule, limits=LIMITS)
        assert target.connections == 0


def test_the_callers_own_deadline_is_told_apart_from_the_links() -> None:
    with Origin({"/": then_hang(b"")}) as origin, pytest.raises(OutOfTimeError):
        fetch(origin.url(), rule=LOOPBACK, limits=LIMITS, deadline=monotonic() + 0.2)


def test_a_deadline_that_has_passed_connects_to_nothing() -> None:
    with Origin({"/": reply(BODY)}) as origin:
        with pytest.raises(OutOfTimeError):
            fetch(origin.url(), rule=LOOPBACK, limits=LIMITS, deadline=monotonic() - 1)
        assert origin.connections == 0


def test_a_closed_port_is_a_failed_fetch() -> None:
    with Origin({}) as origin:
        link = origin.url()
    with pytest.raises(FetchError) as caught:
        fetch(link, rule=LOOPBACK, limits=LIMITS)
    assert type(caught.value) is FetchError


def test_a_refused_link_imports_neither_socket_nor_tls() -> None:
    program = (
        "import sys\n"
        "from classifier.links.fetch import FetchLimits, fetch\n"
        "from classifier.links.netguard import PUBLIC\n"
        "from classifier.errors import LinkError\n"
        "for link in ('ftp://a/', 'http://127.0.0.1/', 'http://[::1]/', 'http://a:1/', 'http://b@a/', 'http://0x7f.1'):\n"
        "    try: fetch(link, rule=PUBLIC, limits=FetchLimits())\n"
        "    except LinkError: pass\n"
        "    else: raise SystemExit('fetched')\n"
        "print({'socket', 'ssl', 'http', 'urllib', 'urllib3', 'threading', 'zlib', 'email'} & set(sys.modules))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
