"""Fetching a link: odd, bad and stalling replies, redirects, and the deadlines."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from copy import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from classifier.errors import (
    ClassifierError,
    FetchError,
    FetchRedirectError,
    FetchStatusError,
    FetchTimeoutError,
    FetchTooManyRedirectsError,
    ImageTooLargeError,
    OutOfTimeError,
    UrlHostError,
)
from classifier.links.fetch import MEDIA_TYPES, VERSION, Client, FetchLimits, fetch
from classifier.links.http1 import read_body, read_head
from classifier.links.netguard import AddressRule
from classifier.links.wire import Wire
from classifier.settings import FORMATS
from local.launch import PROJECT
from tests.support.fetching import LIMITS, LOOPBACK, SOON
from tests.support.origin import Origin, redirect, reply, then_hang
from tests.support.servers import BAD, BODY, CHUNKED, GOOD, OK, STALLS, chunks, gz

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.origin import Behaviour, Peer


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
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{origin.port}\r\nUser-Agent: keras-lambda-classifier/0.1.0\r\n"
            "Accept: image/jpeg, image/png, image/webp, image/gif, image/bmp, */*;q=0.1\r\n"
            "Accept-Encoding: identity\r\nConnection: close\r\n\r\n".encode()
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


@pytest.mark.parametrize(
    "coding", ["base64", "UTF-8", "aws-chunked", "none", "binary", "image/jpeg", "", "a, identity"]
)
def test_a_content_coding_that_is_none_is_ignored_as_browsers_do(coding: str) -> None:
    assert got(reply(BODY, f"Content-Encoding: {coding}")) == BODY
    assert got(reply(gz(BODY), f"Content-Encoding: gzip, {coding}")) == BODY


def test_a_body_that_says_gzip_and_is_plain_is_taken_as_it_is() -> None:
    assert got(reply(BODY, "Content-Encoding: gzip")) == BODY


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br"])
def test_a_coding_that_was_not_asked_for_is_named_for_what_it_is(coding: str) -> None:
    with Origin({"/": reply(BODY, f"Content-Encoding: {coding}")}) as origin, pytest.raises(FetchError) as caught:
        fetch(origin.url(), rule=LOOPBACK, limits=LIMITS)
    assert "packs it" in caught.value.public


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("401 Unauthorized", "status 401, not with a picture. It wants a login"),
        ("403 Forbidden", "status 403, not with a picture. It refuses: the link may have expired"),
        ("404 Nope", "status 404, not with a picture. There is nothing at this link."),
        ("429 Too Many Requests", "status 429, not with a picture. It was asked too often"),
        ("503 Down", "status 503, not with a picture. It has trouble of its own."),
        ("204 No Content", "status 204, not with a picture."),
        ("599 Odd", "status 599, not with a picture. It has trouble of its own."),
    ],
)
def test_the_status_of_the_pictures_server_is_named(status: str, says: str) -> None:
    with Origin({"/": reply(b"", status=status)}) as origin, pytest.raises(FetchStatusError) as caught:
        fetch(origin.url(), rule=LOOPBACK, limits=LIMITS)
    assert says in caught.value.public


def rank(accept: str, kind: str) -> float:
    """The quality that an Accept header gives a media type (RFC 9110, 12.5.1)."""
    best = (-1, 0.0)
    for part in accept.split(","):
        name, *options = (piece.strip() for piece in part.split(";"))
        quality = next((float(option[2:]) for option in options if option.startswith("q=")), 1.0)
        specific = 2 if name == kind else 1 if name == f"{kind.partition('/')[0]}/*" else 0 if name == "*/*" else -1
        best = max(best, (specific, quality))
    return best[1]


def test_a_server_that_negotiates_sends_what_is_read() -> None:
    def negotiate(peer: Peer) -> None:
        head = origin.requests[-1].decode()
        accept = next(line[8:] for line in head.split("\r\n") if line.startswith("Accept: "))
        best = max(("image/avif", "image/jpeg"), key=lambda kind: rank(accept, kind))  # its own order breaks a tie
        reply(best.encode())(peer)

    with Origin({"/": negotiate}) as origin:
        assert fetch(origin.url(), rule=LOOPBACK, limits=LIMITS) == b"image/jpeg"
        only_avif = Client(formats=("AVIF",), contact="https://example.com/bot")
        assert fetch(origin.url(), rule=LOOPBACK, limits=LIMITS, client=only_avif) == b"image/avif"
        assert b"User-Agent: keras-lambda-classifier/0.1.0 (+https://example.com/bot)\r\n" in origin.requests[-1]


def test_the_agents_version_is_the_packages_and_every_format_has_its_media_type() -> None:
    assert json.loads((PROJECT / "package.json").read_text())["version"] == VERSION
    assert set(MEDIA_TYPES) == set(FORMATS)


@pytest.mark.parametrize(
    ("hosts", "fetched"),
    [(None, True), (("127.0.0.1",), True), (("*.0.0.1", "example.com"), True), (("example.com",), False), ((), False)],
)
def test_only_links_to_the_listed_hosts_are_fetched(hosts: tuple[str, ...] | None, *, fetched: bool) -> None:
    with Origin({"/": reply(BODY)}) as origin:
        rule = replace(LOOPBACK, hosts=hosts)
        if fetched:
            assert fetch(origin.url(), rule=rule, limits=LIMITS) == BODY
            return
        with pytest.raises(UrlHostError):
            fetch(origin.url(), rule=rule, limits=LIMITS)
        assert origin.connections == 0


def test_a_redirect_to_a_host_that_is_not_listed_is_not_followed() -> None:
    with Origin({"/": reply(BODY)}) as other, Origin({}) as origin:
        origin.paths["/"] = redirect(other.url().replace("127.0.0.1", "localhost"))
        with pytest.raises(UrlHostError):
            fetch(origin.url(), rule=replace(LOOPBACK, hosts=("127.0.0.1",)), limits=LIMITS)
        assert other.connections == 0
