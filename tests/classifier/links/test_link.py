from __future__ import annotations

import random
import re
import socket
from contextlib import suppress
from typing import Any

import idna
import pytest

from classifier.errors import ClassifierError, FetchError, LinkError, UrlHostError
from classifier.links.fetch import FetchLimits, fetch
from classifier.links.link import Link, follow, parse_link
from classifier.links.netguard import PUBLIC
from tests.support.links import LINKS, NAMES, Verdict


class Network:
    """The process's name service and connections, replaced: it answers from NAMES and refuses every connection."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.dialled: list[tuple[str, int]] = []

    def getaddrinfo(self, host: str, port: int, type: int = 0) -> list[Any]:  # noqa: A002
        self.asked.append(host)
        with suppress(OSError):  # as the C library does: octal, hexadecimal and short forms are addresses
            return [(socket.AF_INET, type, 6, "", (socket.inet_ntoa(socket.inet_aton(host)), port))]
        if host not in NAMES:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        found = [(address, socket.AF_INET6 if ":" in address else socket.AF_INET) for address in NAMES[host]]
        return [(kind, type, 6, "", (address, port)) for address, kind in found]

    def connect(self, address: tuple[str, int]) -> None:
        self.dialled.append(address[:2])
        raise ConnectionRefusedError


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    network = Network()
    monkeypatch.setattr(socket, "getaddrinfo", network.getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: network.connect(address))
    return network


@pytest.mark.parametrize(("link", "verdict"), LINKS, ids=range(len(LINKS)))
def test_a_link_is_dialled_or_refused(network: Network, link: str, verdict: Verdict) -> None:
    with pytest.raises(ClassifierError) as caught:
        fetch(link, rule=PUBLIC, limits=FetchLimits())
    if isinstance(verdict, tuple):
        assert (type(caught.value), network.dialled[:1]) == (FetchError, [verdict])
        assert len(network.asked) <= 1
    else:
        assert (type(caught.value), network.dialled) == (verdict, [])
        assert len(network.asked) <= (1 if verdict is UrlHostError else 0)


def test_the_corpus_has_no_spelling_twice() -> None:
    assert len({link for link, _ in LINKS}) == len(LINKS)
    assert len(LINKS) >= 300


def test_mangled_links_raise_nothing_but_errors_for_the_caller() -> None:
    chance = random.Random(4)
    pieces = [
        "[",
        "]",
        "@",
        ":",
        "/",
        "?",
        "#",
        "%",
        "\\",
        ".",
        "０",
        "ß",
        "\u202e",
        "\ud800",
        "0x",
        "\0",
        " ",
        "xn--",
        "İ",
    ]
    for _ in range(5000):
        link = list(chance.choice(LINKS)[0][:60] or "x")
        for _ in range(chance.randint(1, 4)):
            link[chance.randrange(len(link))] = chance.choice(pieces)
        with suppress(LinkError):
            parsed = parse_link("".join(link))
            assert parsed.host.isascii()
            assert re.fullmatch(r"/[!-~]*", parsed.target)
            assert re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:]+", parsed.host)


def test_an_address_needs_no_look_up(network: Network) -> None:
    for link in ("http://8.8.8.8/", "http://[2606:4700::1111]/", "http://127.0.0.1/", "http://0x7f.1/"):
        with pytest.raises(ClassifierError):
            fetch(link, rule=PUBLIC, limits=FetchLimits())
    assert network.asked == []


def test_each_address_of_a_name_is_tried_ipv4_first_after_one_look_up(network: Network) -> None:
    with pytest.raises(FetchError):
        fetch("http://both.test/", rule=PUBLIC, limits=FetchLimits())
    assert network.asked == ["both.test"]
    assert network.dialled == [("93.184.216.34", 80), ("2606:4700::1111", 80)]


def test_an_unexpected_resolver_error_is_an_unreachable_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> list[Any]:
        raise UnicodeError("label too long")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(UrlHostError):
        fetch("http://public.test/", rule=PUBLIC, limits=FetchLimits())


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("link", [link for link, verdict in LINKS if not isinstance(verdict, tuple)])
def test_no_error_repeats_the_link(link: str) -> None:
    with pytest.raises(ClassifierError) as caught:
        fetch(f"{link}?secret-signature", rule=PUBLIC, limits=FetchLimits())
    assert "secret" not in str(caught.value) + caught.value.public
    assert not any(address in caught.value.public for addresses in NAMES.values() for address in addresses)


@pytest.mark.usefixtures("network")
def test_a_refused_and_an_unknown_host_read_the_same() -> None:
    told = set()
    for link in ("http://private.test/", "http://unknown.test/", "http://10.0.0.1/", "http://0x7f.1/"):
        with pytest.raises(UrlHostError) as caught:
            fetch(link, rule=PUBLIC, limits=FetchLimits())
        told.add((caught.value.status, caught.value.code, caught.value.public))
    assert len(told) == 1


@pytest.mark.parametrize(
    ("link", "sent"),
    [
        ("http://a.test", "/"),
        ("http://a.test?x=1#y", "/?x=1"),
        ("http://a.test/a b/ü%20%C3%BC+.jpg?q=ä b#c d", "/a%20b/%C3%BC%20%C3%BC+.jpg?q=%C3%A4%20b"),
        ('http://a.test/<">{|}^`[]', "/%3C%22%3E%7B%7C%7D%5E%60%5B%5D"),
        ("http://a.test/?X-Amz-Signature=1a%2Fb&x=a+b=c;d", "/?X-Amz-Signature=1a%2Fb&x=a+b=c;d"),
        ("http://a.test/../a/./b//c", "/a/b//c"),
        ("http://a.test/x/../b.jpg?../c", "/b.jpg?../c"),
        ("http://a.test/a/b/..", "/a/"),
        ("http://a.test/a/.", "/a/"),
        ("http://a.test/x/%2e%2E/.%2e/%2e/b", "/b"),
        ("http://a.test/.../..a/b..", "/.../..a/b.."),
        ("http://a.test/💩\u00a0\u2028", "/%F0%9F%92%A9%C2%A0%E2%80%A8"),
    ],
)
def test_path_and_query_are_sent_in_ascii_without_the_fragment(link: str, sent: str) -> None:
    assert parse_link(link).target == sent


@pytest.mark.parametrize(
    "location", ["http://a.test/x/../b.jpg", "/y/./../b.jpg", "../b.jpg", "//a.test/../b.jpg", "%2e%2e/b.jpg"]
)
def test_dot_segments_of_a_redirect_are_removed_wherever_it_leads(location: str) -> None:
    assert follow(parse_link("http://a.test/c/d"), location).target == "/b.jpg"


CONTEXTUAL = [
    *("paral·lel.cat", "l·l.cat", "a·b.cat", "l·.cat", "·l.cat", "ス・キ.jp", "日・本.jp", "a・b.jp", "・.jp"),
    *("ג׳ורג׳.co.il", "צה״ל.co.il", "a׳.il", "׳ג.il", "͵α.gr", "͵a.gr", "α͵.gr", "ශ්\u200dරී.com", "a\u200db.com"),
    *("نامه\u200cای.com", "क्\u200cष.com", "क्\u200dष.com", "a\u200cb.com", "\u200cا.com", "ا\u200c.com"),
]
MAPPED = ["faß.de", "ΒΌΛΟΣ.com", "Bücher.de", "日本語。jp", "ｅｘａｍｐｌｅ.com", "ﬁsh.de", "Ⅷ.com", "i\u0307.com"]


@pytest.mark.parametrize("host", [*CONTEXTUAL, *MAPPED])
def test_an_international_name_is_written_as_the_idna_package_writes_it(host: str) -> None:
    """IDNA2008 (RFC 5892), behind the mapping of UTS 46."""
    try:
        expected = idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        with pytest.raises(LinkError):
            parse_link(f"http://{host}/")
    else:
        assert parse_link(f"http://{host}/").host == expected


def test_whatever_the_idna_package_takes_is_taken() -> None:
    """Letters of scripts in use, one to three together, and the characters that need a context among them."""
    chance, taken = random.Random(46), 0
    scripts = [(0x61, 0x7A), (0xE0, 0x17F), (0x3B1, 0x3C9), (0x430, 0x45F), (0x5D0, 0x5EA), (0x620, 0x64A)]
    scripts += [(0x905, 0x94D), (0xD85, 0xDCA), (0xE01, 0xE2E), (0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FA5)]
    for _ in range(3000):
        first, last = chance.choice(scripts)
        label = "".join(chr(chance.randint(first, last)) for _ in range(chance.randint(1, 3)))
        place = chance.randint(0, len(label))
        label = label[:place] + chance.choice(["", "", "·", "・", "׳", "״", "͵", "\u200c", "\u200d"]) + label[place:]
        try:
            expected = idna.encode(f"{label}.com", uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            continue
        taken += 1
        assert parse_link(f"http://{label}.com/").host == expected, ascii(label)
    assert taken > 500


@pytest.mark.parametrize(
    ("link", "header"),
    [
        ("http://A.test:80/", "a.test"),
        ("https://a.test:443/", "a.test"),
        ("https://a.test:80/", "a.test:80"),
        ("http://a.test.:8080/", "a.test:8080"),
        ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443"),
        ("http://bücher.test/", "xn--bcher-kva.test"),
    ],
)
def test_the_host_header_names_the_host_and_an_unusual_port(link: str, header: str) -> None:
    assert parse_link(link).host_header == header


@pytest.mark.parametrize(
    ("location", "scheme", "host", "port", "target"),
    [
        ("https://b.test/x", "https", "b.test", 443, "/x"),
        ("//b.test/x", "http", "b.test", 80, "/x"),
        ("/x?y#z", "http", "a.test", 8080, "/x?y"),
        ("x", "http", "a.test", 8080, "/p/x"),
        ("../../../x", "http", "a.test", 8080, "/x"),
        ("?y", "http", "a.test", 8080, "/p/q?y"),
        ("@b.test/", "http", "a.test", 8080, "/p/@b.test/"),
        (".b.test/", "http", "a.test", 8080, "/p/.b.test/"),
        ("/..//b.test/x", "http", "a.test", 8080, "//b.test/x"),
        ("a//b/../c", "http", "a.test", 8080, "/p/a//c"),
        (".", "http", "a.test", 8080, "/p/"),
        ("..", "http", "a.test", 8080, "/"),
        ("./..", "http", "a.test", 8080, "/"),
        ("#z", "http", "a.test", 8080, "/p/q?r"),
        ("x?a/../b", "http", "a.test", 8080, "/p/x?a/../b"),
        ("x#a/../b", "http", "a.test", 8080, "/p/x"),
        ("/ä b", "http", "a.test", 8080, "/%C3%A4%20b"),
        ("1:2", "http", "a.test", 8080, "/p/1:2"),
    ],
)
def test_a_location_is_read_relative_to_the_link(location: str, scheme: str, host: str, port: int, target: str) -> None:
    assert follow(parse_link("http://a.test:8080/p/q?r"), location) == Link(scheme, host, port, target)


def test_a_path_of_two_slashes_is_not_taken_for_a_host_by_what_follows_it() -> None:
    assert follow(parse_link("http://a.test//b.test/q"), "/x").target == "/x"
    assert follow(parse_link("http://a.test//b.test/q"), "x").target == "//b.test/x"


@pytest.mark.parametrize(
    "location", ["", "http:", "http:x", "http:///b.test/", "///b.test/", "//", "/\\b.test", "/a\tb"]
)
def test_a_location_that_browsers_would_repair_is_refused(location: str) -> None:
    with pytest.raises(LinkError):
        follow(parse_link("http://a.test/p/q"), location)
