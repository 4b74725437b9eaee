"""Reads a link strictly: the scheme, host, port and target it names, or the rule that it breaks.

Pure: no look-up and no connection. Browsers repair links; here a link that two programs could read differently (a
backslash, a control character, an address in octal) is refused instead of repaired. Whether the host may be dialled is
netguard's decision.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from classifier.errors import LinkError, UrlCredentialsError, UrlHostError, UrlPortError, UrlSchemeError
from classifier.records import Record

MAX_LINK_CHARS = 8000
"""RFC 9110 section 4.1 asks for at least 8000; signed S3 links need about 2000."""

DEFAULT_PORTS = {"http": 80, "https": 443}

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PARTS = re.compile(r"[^:]*://([^/?#]*)([^?#]*)(\?[^#]*)?")
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::(.*))?")
_CONFUSING = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+")
_ESCAPED_DOT = re.compile("%2e", re.IGNORECASE)
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
# RFC 3986: unreserved, sub-delims, ":", "@", "/", "?"; "%" because a link's own escapes stay as they are.
_AS_IS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/?%")


class Link(Record):
    """A well-formed http or https link, its host in ASCII, its fragment dropped.

    `target` is path and query as they are sent. `address` is set when the host is an IP address, not a name.
    """

    scheme: str
    host: str
    port: int
    target: str
    address: IPv4Address | IPv6Address | None = None

    @property
    def host_header(self) -> str:
        """The host as `Host` carries it: IPv6 in brackets, the port only if it isn't the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_link(text: str) -> Link:
    """The link that `text` names; LinkError or one of its classes says which rule it breaks.

    No error repeats the link: its query may be a signature.
    """
    text = text.strip(" ")
    if len(text) > MAX_LINK_CHARS:
        raise LinkError(f"{len(text)} characters", public="imagelink is too long.")
    if _CONFUSING.search(text):
        raise LinkError("a control character or a backslash")
    scheme = _scheme(text)
    parts = _PARTS.match(text)
    if not parts:
        raise LinkError("no // after the scheme")
    authority, path, query = parts.group(1), parts.group(2), parts.group(3)
    host, port = _host_and_port(authority, scheme)
    target = _escaped(_without_dots(path or "/") + (query or ""))
    address = _address(host)
    return Link(scheme, str(address) if address else _name(host), port, target, address)


def follow(base: Link, location: str) -> Link:
    """The link that a redirect's `location`, absolute or relative, names when `base` answered with it."""
    if not location or _CONFUSING.search(location):
        raise LinkError("an empty location, or a control character or backslash in it")
    if _SCHEME.match(location):
        return parse_link(location)
    if location.startswith("//"):
        return parse_link(f"{base.scheme}:{location}")
    return parse_link(f"{base.scheme}://{base.host_header}{_resolved(base.target, location)}")


def _resolved(target: str, location: str) -> str:
    """The target that a relative reference names (RFC 3986 section 5.2; urljoin would drop empty segments)."""
    path = target.partition("?")[0]
    if location.startswith("?"):
        return path + location
    if location.startswith("#"):
        return target
    end = min((location.index(mark) for mark in "?#" if mark in location), default=len(location))
    wanted, rest = location[:end], location[end:]
    merged = wanted if wanted.startswith("/") else path[: path.rindex("/") + 1] + wanted
    return _without_dots(merged) + rest


def _without_dots(path: str) -> str:
    """The path without dot segments (RFC 3986 section 5.2.4), escaped dots among them, as browsers have it."""
    segments: list[str] = []
    found = path.split("/")[1:]
    for segment in found:
        dots = _ESCAPED_DOT.sub(".", segment)
        if dots == "..":
            del segments[-1:]
        elif dots != ".":
            segments.append(segment)
    if _ESCAPED_DOT.sub(".", found[-1]) in (".", ".."):
        segments.append("")
    return f"/{'/'.join(segments)}"


def _scheme(text: str) -> str:
    found = _SCHEME.match(text)
    if not found:
        raise LinkError("no scheme", public=UrlSchemeError.text)
    if found.group(1).lower() not in DEFAULT_PORTS:
        raise UrlSchemeError("neither http nor https")
    return found.group(1).lower()


def _host_and_port(authority: str, scheme: str) -> tuple[str, int]:
    if "@" in authority:
        raise UrlCredentialsError("an @ before the path")
    parts = _AUTHORITY.fullmatch(authority)
    if not parts or not parts.group(1):
        raise LinkError("no host, or one that can't be told from the port")
    host, port = parts.group(1), parts.group(2)
    if not port:  # RFC 3986 section 3.2.3: "http://host:/" has the scheme's own port
        return host, DEFAULT_PORTS[scheme]
    if not re.fullmatch("[0-9]+", port):
        raise LinkError("a port that is no number")
    number = port.lstrip("0")
    if not 1 <= len(number) <= 5 or int(number) > 65535:
        raise UrlPortError("a port out of range")
    return host, int(number)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that the host is, in its one plain spelling; None for a name.

    A host whose last label is a number is an address for inet_aton and for the WHATWG URL standard alike, so the short,
    octal, hexadecimal and whole-number spellings never reach a resolver.
    """
    try:
        if host.startswith("["):
            inner = host[1:-1]
            if not _IPV6.fullmatch(inner):
                raise LinkError("brackets around something else than an IPv6 address")
            return IPv6Address(inner)
        name = _name(host)
        return IPv4Address(name) if _NUMBER.fullmatch(name.rpartition(".")[2]) else None
    except AddressValueError as error:
        if host.startswith("["):
            raise LinkError("brackets around something else than an IPv6 address") from error
        raise UrlHostError("an IPv4 address in an unusual spelling") from error


def _name(host: str) -> str:
    """The host name in lower-case ASCII without the root's dot."""
    ascii_host = host if host.isascii() else _punycode(host)
    name = ascii_host.lower().removesuffix(".")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise LinkError("not a host name")
    return name


def _punycode(host: str) -> str:
    """An international name in ASCII: compatibility forms folded (as UTS 46 does), characters as IDNA2008 has them.

    The result is checked like any other host, so full-width or circled digits end as the address that they look like.
    """
    import unicodedata

    from classifier.links.host_names import check_label

    folded = "".join(char.lower() for char in unicodedata.normalize("NFKC", host.translate(_DOTS)))
    labels = unicodedata.normalize("NFKC", folded).translate(_DOTS).split(".")
    for label in labels:
        check_label(label)
    return ".".join(label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in labels)


def _escaped(target: str) -> str:
    """Path and query in ASCII: spaces, non-ASCII characters (as UTF-8) and what RFC 3986 excludes percent-encoded."""
    try:
        raw = target.encode()
    except UnicodeEncodeError as error:
        raise LinkError("half a surrogate pair") from error
    return "".join(chr(byte) if byte in _AS_IS else f"%{byte:02X}" for byte in raw)
