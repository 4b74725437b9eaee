"""Fetches a link's bytes from a stranger's server, within limits and under one deadline.

Each hop of a redirect is parsed (link) and its addresses are checked (netguard) before it is dialled (dial). No proxy,
cookie or password takes part. `Content-Type` is not looked at: the bytes decide what they are.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from classifier.errors import (
    FetchError,
    FetchRedirectError,
    FetchStatusError,
    FetchTimeoutError,
    FetchTlsError,
    FetchTooManyRedirectsError,
    LinkError,
    OutOfTimeError,
    UrlHostError,
    UrlPortError,
)
from classifier.links.dial import addresses, connect, secure, system_tls
from classifier.links.http1 import Head, read_body, read_head
from classifier.links.link import Link, follow, parse_link
from classifier.links.wire import Wire
from classifier.records import Record

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from classifier.links.netguard import AddressRule

VERSION = "0.1.0"
"""package.json's; a test compares them."""
MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heif, image/heic",
    "JPEG2000": "image/jp2",
    "ICO": "image/x-icon",
    "PPM": "image/x-portable-pixmap",
    "TGA": "image/x-tga",
}
"""By format, best first: what a server that can choose should rather send."""
OTHER_HOST = "Links to this host are not taken here."
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class FetchLimits(Record, kw_only=True):
    """What one link may cost. Sizes are bytes, `timeout_s` is for the link in all, look-ups and redirects included."""

    max_bytes: int = 10_000_000
    timeout_s: float = 8.0
    max_redirects: int = 4
    max_head_bytes: int = 65_536
    max_head_fields: int = 100


class Client(Record, kw_only=True):
    """What a link's server is told: which formats we read, and whom its owner can write to."""

    formats: tuple[str, ...] = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
    contact: str = ""

    def fields(self) -> str:
        """User-Agent (RFC 9110, 10.1.5) and Accept (12.5.1), as header lines."""
        agent = f"keras-lambda-classifier/{VERSION}" + (f" (+{self.contact})" if self.contact else "")
        accepted = ", ".join(kind for name, kind in MEDIA_TYPES.items() if name in self.formats)
        return f"User-Agent: {agent}\r\nAccept: {accepted}, */*;q=0.1\r\n"


ANYBODY = Client()


def fetch(
    link: str,
    *,
    rule: AddressRule,
    limits: FetchLimits,
    deadline: float | None = None,
    client: Client = ANYBODY,
    tls: Callable[[], ssl.SSLContext] = system_tls,
) -> bytes:
    """The bytes behind `link`, at most `limits.max_bytes`.

    `deadline` (on time.monotonic's clock) is the caller's own; it may cut `timeout_s` short, with OutOfTimeError.
    Raises LinkError, FetchError and their classes, and ImageTooLargeError. `tls` is for tests with their own CA.
    """
    latest = monotonic() + limits.timeout_s
    end = latest if deadline is None else min(latest, deadline)
    try:
        return _fetch(link, rule, limits, end, client, tls)
    except TimeoutError as error:
        if end < latest:
            raise OutOfTimeError("the request's own deadline passed while a link was fetched") from error
        raise FetchTimeoutError(f"over {limits.timeout_s} s") from error


def _fetch(
    link: str,
    rule: AddressRule,
    limits: FetchLimits,
    end: float,
    client: Client,
    tls: Callable[[], ssl.SSLContext],
) -> bytes:
    if not rule.takes_links:
        raise UrlHostError("LINK_HOSTS=off", public="This service takes no links. Send the picture itself.")
    target = parse_link(link)
    if not rule.allows_port(target.port):
        raise UrlPortError(f"port {target.port}")
    for _ in range(limits.max_redirects + 1):
        if not rule.allows_host(target.host):
            raise UrlHostError(f"{target.host} is not one of LINK_HOSTS", public=OTHER_HOST)
        with connect(target, addresses(target, rule, end), end) as plain, secure(plain, target, end, tls) as sock:
            wire = Wire(sock, end)
            head = _head(wire, target, limits, client)
            if head.status == 200:
                return read_body(wire, head, limits.max_bytes)
        target = _redirected(target, head, rule)
    raise FetchTooManyRedirectsError(f"over {limits.max_redirects} redirects")


def _redirected(target: Link, head: Head, rule: AddressRule) -> Link:
    """Where the reply redirects to. Only its host's refusal keeps its own code: the rest is the server's fault."""
    if head.status not in REDIRECTS:
        raise FetchStatusError(f"{target.host} answered {head.status}", public=_told(head.status))
    locations = set(head.fields.get("location", []))
    if len(locations) != 1:
        raise FetchRedirectError(f"{target.host} gave {len(locations)} locations")
    try:
        hop = follow(target, locations.pop())
    except UrlHostError:
        raise
    except LinkError as error:
        raise FetchRedirectError(f"{target.host} redirects to a bad link: {error}") from error
    if target.scheme == "https" and hop.scheme == "http":
        raise FetchRedirectError(f"{target.host} redirects from https to http")
    if not rule.allows_port(hop.port):
        raise FetchRedirectError(f"{target.host} redirects to port {hop.port}")
    return hop


USUALLY = {
    401: "It wants a login; links are fetched without one.",
    403: "It refuses: the link may have expired, or work in its owner's browser only.",
    404: "There is nothing at this link.",
    410: "There is nothing at this link any more.",
    429: "It was asked too often; try again later, or send the picture itself.",
}


def _told(status: int) -> str:
    """The status for the caller, and what it usually means."""
    usually = USUALLY.get(status) or ("It has trouble of its own." if status >= 500 else "")
    return f"The picture's server answered with status {status}, not with a picture. {usually}".rstrip()


def _head(wire: Wire, target: Link, limits: FetchLimits, client: Client) -> Head:
    request = (
        f"GET {target.target} HTTP/1.1\r\nHost: {target.host_header}\r\n{client.fields()}"
        "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )
    try:
        wire.send(request.encode("ascii"))
        return read_head(wire, limits.max_head_bytes, limits.max_head_fields)
    except TimeoutError:
        raise
    except OSError as error:
        raise _broken(target, error) from error


def _broken(target: Link, error: OSError) -> FetchError:
    if target.scheme == "https":
        import ssl

        if isinstance(error, ssl.SSLError):  # TLS 1.3 tells a client that lacks a certificate after the handshake
            return FetchTlsError(f"{target.host}: {error}")
    return FetchError(f"{target.host}: {error}")
