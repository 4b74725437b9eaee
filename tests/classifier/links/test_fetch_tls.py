"""Fetching a link over TLS: certificates, handshakes that stall, and redirects from and to https."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from classifier.errors import (
    ClassifierError,
    FetchError,
    FetchRedirectError,
    FetchTimeoutError,
    FetchTlsError,
    UrlHostError,
)
from classifier.links.fetch import FetchLimits, fetch
from tests.support.certificates import Authority
from tests.support.fetching import LIMITS, LOOPBACK, SOON, names
from tests.support.origin import Origin, raw, redirect, reply, then_hang, then_reset, trickle
from tests.support.servers import BODY, STALLS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.origin import Behaviour


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Fetch `https://img.good.test/` from a server with this context, trusting the authority."""
    names(monkeypatch, **{"img.good": ["127.0.0.1"]})

    def run(
        server: ssl.SSLContext | None,
        behaviour: Behaviour,
        limits: FetchLimits = LIMITS,
        host: str | None = "img.good.test",
    ) -> Any:
        with Origin({"/": behaviour}, tls=server, reads=server is not None) as origin:
            try:
                link = origin.url(host=host).replace("http:", "https:")
                return fetch(link, rule=LOOPBACK, limits=limits, tls=authority.client)
            except ClassifierError as error:
                return type(error)

    return run


def test_https_verifies_the_name_not_the_address(authority: Authority, secure: Callable[..., Any]) -> None:
    asked: list[str | None] = []
    server = authority.server("img.good.test")
    server.sni_callback = lambda _, name, __: asked.append(name)
    assert secure(server, reply(BODY)) == BODY
    assert asked == ["img.good.test"]


@pytest.mark.parametrize(
    ("hosts", "host", "result"),
    [
        (["*.good.test"], "img.good.test", BODY),
        (["other.test"], "img.good.test", FetchTlsError),
        (["127.0.0.1"], "img.good.test", FetchTlsError),
        (["127.0.0.1"], None, BODY),
        (["img.good.test"], None, FetchTlsError),
    ],
)
def test_a_certificate_has_to_name_the_host(
    authority: Authority, secure: Callable[..., Any], hosts: list[str], host: str | None, result: Any
) -> None:
    assert secure(authority.server(*hosts), reply(BODY), host=host) == result


def test_expired_and_unknown_certificates_are_refused(
    authority: Authority, secure: Callable[..., Any], tmp_path: Path
) -> None:
    stranger = Authority.create(tmp_path)
    servers = [authority.server("img.good.test", expired=True), stranger.server("img.good.test"), stranger.own()]
    assert [secure(server, reply(BODY)) for server in servers] == [FetchTlsError] * 3


def test_the_system_does_not_trust_our_authority(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, **{"img.good": ["127.0.0.1"]})
    with Origin({"/": reply(BODY)}, tls=authority.server("img.good.test")) as origin:
        with pytest.raises(FetchTlsError):
            fetch(origin.url(host="img.good.test"), rule=LOOPBACK, limits=LIMITS)
        assert origin.requests == []


def test_a_server_that_speaks_no_tls_is_a_tls_failure(secure: Callable[..., Any]) -> None:
    assert secure(None, reply(BODY)) is FetchTlsError
    assert secure(None, raw(b"")) is FetchTlsError
    assert secure(None, then_reset(b"")) is FetchTlsError
    assert secure(None, then_hang(b""), SOON) is FetchTimeoutError
    assert secure(None, trickle(b"\x16\x03\x03\x40\0\x02", b"\0"), SOON) is FetchTimeoutError


def test_a_server_that_wants_our_certificate_is_a_tls_failure(authority: Authority, secure: Callable[..., Any]) -> None:
    server = authority.server("img.good.test")
    server.verify_mode = ssl.CERT_REQUIRED
    assert secure(server, reply(BODY)) is FetchTlsError


@pytest.mark.parametrize("case", ["trickles headers", "trickles the body", "trickles chunks"])
def test_a_server_that_stalls_inside_tls_is_given_up(
    authority: Authority, secure: Callable[..., Any], case: str
) -> None:
    assert secure(authority.server("img.good.test"), STALLS[case], SOON) is FetchTimeoutError


def test_a_handshake_that_stalls_is_given_up(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        link = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(FetchTimeoutError):
            fetch(link, rule=LOOPBACK, limits=SOON, tls=authority.client)


def test_a_redirect_from_https_to_http_is_refused(authority: Authority, secure: Callable[..., Any]) -> None:
    server = authority.server("img.good.test")
    assert secure(server, redirect("http://img.good.test/")) is FetchRedirectError
    assert secure(server, redirect("http://10.0.0.1/")) is FetchRedirectError
    assert secure(server, redirect("https://10.0.0.1/")) is UrlHostError
    assert secure(server, redirect("//img.good.test:1/x")) is FetchError


def test_a_redirect_from_http_to_https_is_followed(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, **{"img.good": ["127.0.0.1"]})
    with Origin({"/": reply(BODY)}, tls=authority.server("img.good.test")) as safe, Origin({}) as origin:
        origin.paths["/"] = redirect(safe.url(host="img.good.test"))
        assert fetch(origin.url(), rule=LOOPBACK, limits=LIMITS, tls=authority.client) == BODY
