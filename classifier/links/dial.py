"""Connects to a link's host: one look-up, every answer checked, then a checked address and no other.

A name that changes its address between check and connection (rebinding) gains nothing, because the connection is
made to the address and not to the name; `Host`, SNI and the certificate stay on the name.
"""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from time import monotonic
from typing import TYPE_CHECKING, Any

from classifier.errors import FetchError, FetchTlsError, UrlHostError

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from classifier.links.link import Link
    from classifier.links.netguard import AddressRule

Address = IPv4Address | IPv6Address

MAX_DIALS = 4


@cache
def system_tls() -> ssl.SSLContext:
    """Python's default verification: the system's trust store, TLS 1.2 or newer."""
    import ssl

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def addresses(target: Link, rule: AddressRule, end: float) -> list[Address]:
    """The addresses that may be dialled for the host, IPv4 first; UrlHostError if there are none or one is refused."""
    found = [target.address] if target.address else _look_up(target, end)
    for address in found:
        if refusal := rule.refusal(address):
            raise UrlHostError(f"{target.host} is {address}: {refusal}")
    return sorted(found, key=lambda address: address.version)  # IPv6 leads nowhere from a function outside a VPC


def _look_up(target: Link, end: float) -> list[Address]:
    """Every address that the system's resolver gives for the name, asked once.

    The resolver takes no time limit. It runs in a thread that is left behind when it hangs; the resolver's own limit
    (seconds) ends it.
    """
    import socket
    import threading

    answers: list[Any] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answers.extend(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - whatever the resolver says, there is no address
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(max(0.0, end - monotonic()))
    if thread.is_alive():
        raise TimeoutError("the look-up takes too long")
    try:
        addresses = list(dict.fromkeys(ip_address(answer[4][0]) for answer in answers))
    except (ValueError, LookupError, TypeError) as error:
        raise UrlHostError(f"{target.host} has an address of an unknown kind") from error
    if not addresses:
        raise UrlHostError(f"{target.host} does not resolve: {errors[0] if errors else 'no address'}")
    return addresses


def connect(target: Link, addresses: list[Address], end: float) -> socket.socket:
    """A connection to the first of the addresses that accepts one, each given its share of the time that is left."""
    import socket

    failure: OSError | None = None
    for left_over, address in reversed(list(enumerate(reversed(addresses[:MAX_DIALS]), start=1))):
        left = end - monotonic()
        if left <= 0:
            break
        sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        try:
            sock.settimeout(left / left_over)
            sock.connect((str(address), target.port))
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    if end <= monotonic():
        raise TimeoutError("connecting takes too long") from failure
    raise FetchError(f"{target.host} can't be reached: {failure}") from failure


def secure(plain: socket.socket, target: Link, end: float, tls: Callable[[], ssl.SSLContext]) -> socket.socket:
    """The connection, inside TLS for https: SNI and certificate are the name's, not the address's."""
    if target.scheme == "http":
        return plain
    context = tls()
    plain.settimeout(max(0.001, end - monotonic()))
    try:
        return context.wrap_socket(plain, server_hostname=target.host)
    except TimeoutError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name that can't be a certificate's
        raise FetchTlsError(f"{target.host}: {error}") from error
