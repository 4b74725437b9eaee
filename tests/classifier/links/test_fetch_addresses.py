"""Fetching a link: names are looked up once a hop, every address is checked, and the next one is tried."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from classifier.errors import FetchTimeoutError, UrlHostError
from classifier.links.fetch import FetchLimits, fetch
from classifier.links.netguard import AddressRule
from tests.support.fetching import LIMITS, LOOPBACK, SOON, names
from tests.support.origin import Origin, redirect, reply
from tests.support.servers import BODY

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_name_is_looked_up_once_a_hop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = names(monkeypatch, one=["127.0.0.1"], two=["127.0.0.1"])
    with Origin({"/b": reply(BODY)}) as origin:
        origin.paths["/a"] = redirect(origin.url("/b", host="two.test"))
        assert fetch(origin.url("/a", host="one.test"), rule=LOOPBACK, limits=LIMITS) == BODY
        assert asked == ["one.test", "two.test"]
        assert f"Host: two.test:{origin.port}\r\n".encode() in origin.requests[1]


def test_a_rebinding_name_gets_no_second_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])

    def getaddrinfo(_: str, port: int, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(answers)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with Origin({"/": reply(BODY)}) as origin:
        assert fetch(origin.url(host="rebind.test"), rule=LOOPBACK, limits=LIMITS) == BODY
        with pytest.raises(UrlHostError):
            fetch(origin.url(host="rebind.test"), rule=LOOPBACK, limits=LIMITS)
        assert origin.connections == 1


def test_a_redirect_to_a_name_with_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, public=["127.0.0.1"], inside=["127.0.0.1", "10.0.0.1"])
    with Origin({"/": redirect("http://inside.test/")}) as origin, pytest.raises(UrlHostError):
        fetch(origin.url(host="public.test"), rule=LOOPBACK, limits=LIMITS)


def test_the_next_address_is_tried_when_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, many=["127.0.0.3", "127.0.0.2", "127.0.0.1"])
    rule = AddressRule(ports=None, also_allowed=("127.0.0.0/8",))
    with Origin({"/": reply(BODY)}) as origin:
        assert fetch(origin.url(host="many.test"), rule=rule, limits=LIMITS) == BODY


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port on 127.0.0.2 that accepts no connection and refuses none: its queue is full."""
    with socket.create_server(("127.0.0.2", 0), backlog=0) as listener, ExitStack() as waiting:
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_connecting_that_stalls_is_given_up(deaf: int) -> None:
    rule = AddressRule(ports=None, also_allowed=("127.0.0.2/32",))
    with pytest.raises(FetchTimeoutError):
        fetch(f"http://127.0.0.2:{deaf}/", rule=rule, limits=SOON)


def test_the_next_address_is_tried_when_connecting_stalls(deaf: int, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, many=["127.0.0.2", "127.0.0.1"])
    rule = AddressRule(ports=None, also_allowed=("127.0.0.0/8",))
    with Origin({"/": reply(BODY)}, port=deaf) as origin:
        limits = FetchLimits(timeout_s=2)
        assert fetch(origin.url(host="many.test"), rule=rule, limits=limits) == BODY


def test_a_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(30) and [])
    with pytest.raises(FetchTimeoutError):
        fetch("http://hangs.test/", rule=LOOPBACK, limits=SOON)
    released.set()
