"""May we connect to this address? Pure: addresses and ports in, a verdict out.

The lists are the IANA special-purpose address registries (RFC 6890 and its updates, read in November 2026), explicit,
because `ipaddress.is_private` and `is_global` leave some of them out. Every special-purpose range is refused, also the
few that are reachable from everywhere: no picture lives there. IPv6 is the other way round: only 2000::/3, and not all
of that.
"""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from classifier.records import Record

NOT_PUBLIC_V4 = {
    "0.0.0.0/8": "this network, RFC 791",
    "10.0.0.0/8": "private, RFC 1918",
    "100.64.0.0/10": "carrier NAT, RFC 6598 (Alibaba's metadata is in it)",
    "127.0.0.0/8": "loopback, RFC 1122",
    "168.63.129.16/32": "Azure's host services",
    "169.254.0.0/16": "link-local, RFC 3927 (metadata of most clouds; Lambda's Runtime API)",
    "172.16.0.0/12": "private, RFC 1918",
    "192.0.0.0/24": "protocol assignments, RFC 6890 (Oracle's old metadata address is in it)",
    "192.0.2.0/24": "documentation, RFC 5737",
    "192.31.196.0/24": "AS112, RFC 7535",
    "192.52.193.0/24": "multicast tunnels, RFC 7450",
    "192.80.8.124/32": "Equinix Metal's metadata",
    "192.88.99.0/24": "6to4 relays, RFC 7526",
    "192.168.0.0/16": "private, RFC 1918",
    "192.175.48.0/24": "AS112, RFC 7534",
    "198.18.0.0/15": "benchmarks, RFC 2544",
    "198.51.100.0/24": "documentation, RFC 5737",
    "203.0.113.0/24": "documentation, RFC 5737",
    "224.0.0.0/4": "multicast, RFC 5771",
    "240.0.0.0/4": "reserved, RFC 1112, and broadcast",
}

PUBLIC_V6 = "2000::/3"
"""RFC 4291's global unicast. Outside of it: ::, ::1, IPv4-compatible, IPv4-mapped, IPv4-translated, NAT64
(64:ff9b::/96, 64:ff9b:1::/48), discard 100::/64, SRv6 5f00::/16, unique-local fc00::/7 (with clouds' IPv6 metadata),
link-local fe80::/10, site-local fec0::/10, multicast ff00::/8."""

NOT_PUBLIC_V6 = {
    "2001::/23": "protocol assignments, RFC 2928: Teredo 2001::/32, benchmarks 2001:2::/48, ORCHID, DRIP and others",
    "2001:db8::/32": "documentation, RFC 3849",
    "2002::/16": "6to4, RFC 3056",
    "2620:4f:8000::/48": "AS112, RFC 7534",
    "3fff::/20": "documentation, RFC 9637",
}

INTERNAL_V4 = (
    *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.168.0.0/16"),
)
"""What a network's own NAT64 could lead to: its hosts, this one and the cloud's services."""


class AddressRule(Record):
    """Which ports and addresses may be dialled: public addresses, and the networks of `also_allowed`.

    `ports` of None means any port; `hosts` of None any host, and none of them is spared the look at its addresses.
    Tests make a looser rule and pass it in; no setting does.
    """

    ports: frozenset[int] | None
    also_allowed: tuple[str, ...] = ()
    hosts: tuple[str, ...] | None = None

    @property
    def takes_links(self) -> bool:
        """Whether there is any host that may be asked."""
        return self.hosts != ()

    def allows_host(self, host: str) -> bool:
        """Whether a host, in ASCII and lower case, may be asked: by its name, or by `*.` and its parent's."""
        if self.hosts is None:
            return True
        return any(host == known or (known[:2] == "*." and host.endswith(known[1:])) for known in self.hosts)

    def allows_port(self, port: int) -> bool:
        """Whether the port may be dialled."""
        return self.ports is None or port in self.ports

    def refusal(self, address: IPv4Address | IPv6Address) -> str | None:
        """Why the address must not be dialled, for the log; None if it may."""
        if any(address in network for network in _networks(self.also_allowed)):
            return None
        return _not_public_v4(address) if isinstance(address, IPv4Address) else _not_public_v6(address)


PUBLIC = AddressRule(ports=frozenset({80, 443, 8080, 8443}))


def _not_public_v4(address: IPv4Address) -> str | None:
    networks = _networks(tuple(NOT_PUBLIC_V4))
    return next((NOT_PUBLIC_V4[str(network)] for network in networks if address in network), None)


def _not_public_v6(address: IPv6Address) -> str | None:
    if address.scope_id is not None or address not in ip_network(PUBLIC_V6):
        return "not global unicast, RFC 4291"
    networks = _networks(tuple(NOT_PUBLIC_V6))
    special = next((NOT_PUBLIC_V6[str(network)] for network in networks if address in network), None)
    return special or _leads_inside(address.packed)


def _leads_inside(packed: bytes) -> str | None:
    """Why an address of anybody's own prefix is an internal IPv4 address in disguise; None if it is none.

    ISATAP's interface identifiers are 0:5efe or 200:5efe and the IPv4 address. NAT64 writes it behind a prefix of 32 to
    96 bits, around the ninth byte, which is 0, and zeros behind it (RFC 6052, section 2.2).
    """
    if packed[8] & 0xFC == 0 and packed[9:12] == b"\0\x5e\xfe":
        return "ISATAP, RFC 5214"
    if packed[8]:
        return None
    for start in (4, 5, 6, 7, 8):
        inside, rest = packed[start:8] + packed[9 : start + 5], packed[max(9, start + 5) :]
        if not any(rest) and _is_internal(inside[:4]):
            return f"{IPv4Address(inside[:4])} behind a NAT64 prefix, RFC 6052"
    if not any(packed[8:12]) and _is_internal(packed[12:]):
        return f"{IPv4Address(packed[12:])} behind a NAT64 prefix, RFC 6052"
    return None


def _is_internal(packed: bytes) -> bool:
    return any(IPv4Address(packed) in network for network in _networks(INTERNAL_V4))


@cache
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(text) for text in texts)
