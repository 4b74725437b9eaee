from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from classifier.links.netguard import NOT_PUBLIC_V4, NOT_PUBLIC_V6, PUBLIC, AddressRule

# (range, is the address just below allowed, is the address just above allowed); written down, not computed.
RANGES_V4 = [
    ("0.0.0.0/8", None, True),
    ("10.0.0.0/8", True, True),
    ("100.64.0.0/10", True, True),
    ("127.0.0.0/8", True, True),
    ("168.63.129.16/32", True, True),
    ("169.254.0.0/16", True, True),
    ("172.16.0.0/12", True, True),
    ("192.0.0.0/24", True, True),
    ("192.0.2.0/24", True, True),
    ("192.31.196.0/24", True, True),
    ("192.52.193.0/24", True, True),
    ("192.80.8.124/32", True, True),
    ("192.88.99.0/24", True, True),
    ("192.168.0.0/16", True, True),
    ("192.175.48.0/24", True, True),
    ("198.18.0.0/15", True, True),
    ("198.51.100.0/24", True, True),
    ("203.0.113.0/24", True, True),
    ("224.0.0.0/4", True, False),
    ("240.0.0.0/4", False, None),
]
RANGES_V6 = [
    ("::/96", None, False),
    ("::ffff:0:0/96", False, False),
    ("::ffff:0:0:0/96", False, False),
    ("64:ff9b::/96", False, False),
    ("64:ff9b:1::/48", False, False),
    ("100::/64", False, False),
    ("100:0:0:1::/64", False, False),
    ("2001::/23", True, True),
    ("2001::/32", True, False),
    ("2001:2::/48", False, False),
    ("2001:10::/28", False, False),
    ("2001:20::/28", False, False),
    ("2001:30::/28", False, False),
    ("2001:db8::/32", True, True),
    ("2002::/16", True, True),
    ("2620:4f:8000::/48", True, True),
    ("3fff::/20", True, True),
    ("4000::/3", True, False),
    ("5f00::/16", False, False),
    ("fc00::/7", False, False),
    ("fe80::/10", False, False),
    ("fec0::/10", False, False),
    ("ff00::/8", False, None),
]
METADATA = [
    *("169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.169.253", "169.254.100.1", "169.254.0.23"),
    *("169.254.42.42", "100.100.100.200", "192.0.0.192", "168.63.129.16", "192.80.8.124"),
    *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "fd00:a9fe:a9fe::1", "fe80::a9fe:a9fe"),
]
EMBEDDED_LOOPBACK = [
    *("::127.0.0.1", "::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b:1::127.0.0.1"),
    *("2002:7f00:1::", "2001:0:7f00:1::", "2001:0:1:1:0:0:80ff:fffe"),
]
EMBEDDED_INTERNAL = [
    *("2600::5efe:10.0.0.1", "2600::200:5efe:127.0.0.1", "2600:1::5efe:8.8.8.8", "2600:2::100:5efe:10.0.0.1"),
    *("2600:1:a00:1::", "2600:1:7f:0:1::", "2600:1:10a:0:1::", "2600:1:1:a9:fe:a9fe::", "2600:1:1:1:c0:a801:100:0"),
    *("2600::10.0.0.1", "2600:1:2:3::169.254.169.254", "2600:1:2:3::100.64.0.1"),
]
"""ISATAP, and RFC 6052's six lengths of prefix: 32, 40, 48, 56, 64 and 96."""
EMBEDDED_NOT = [
    *("2600::5eff:10.0.0.1", "2600::400:5efe:10.0.0.1", "2606:4700::6810:85e5", "2001:4860:4860::8844"),
    *("2600:1:2:3:1::10.0.0.1", "2600:1:2:3:a8bb:ccff:a00:1", "2a03:2880:f12f:83:face:b00c:0:25de", "2600::8.8.8.8"),
    *("2600:1:808:808::", "2600:9000:a00:1:1::"),
]
EMBEDDED_PUBLIC = ["::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]
ALLOWED = [
    *("1.0.0.0", "1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "172.15.0.1", "172.32.0.1", "192.0.1.1"),
    *("198.17.0.1", "203.0.112.1", "223.255.255.255", "2000::", "2001:200::", "2001:4860:4860::8888"),
    *("2606:4700::1111", "2a00:1450:4001::1", "3ffe:ffff::1", "3fff:1000::"),
]


def refused(address: str) -> bool:
    return PUBLIC.refusal(ip_address(address)) is not None


@pytest.mark.parametrize(("network", "below", "above"), RANGES_V4 + RANGES_V6)
def test_a_range_is_refused_from_its_first_to_its_last_address(
    network: str, below: bool | None, above: bool | None
) -> None:
    first, last = ip_network(network)[0], ip_network(network)[-1]
    verdicts = [refused(str(first)), refused(str(last))]
    verdicts += [] if below is None else [refused(str(first - 1))]
    verdicts += [] if above is None else [refused(str(last + 1))]
    wanted = [True, True] + [not allowed for allowed in (below, above) if allowed is not None]
    assert verdicts == wanted


def test_every_listed_range_has_its_row_here() -> None:
    assert set(NOT_PUBLIC_V4) == {network for network, _, _ in RANGES_V4}
    assert set(NOT_PUBLIC_V6) <= {network for network, _, _ in RANGES_V6}


@pytest.mark.parametrize("address", METADATA + EMBEDDED_LOOPBACK + EMBEDDED_PUBLIC + EMBEDDED_INTERNAL)
def test_metadata_and_embedded_addresses_are_refused(address: str) -> None:
    assert refused(address)


@pytest.mark.parametrize("address", ALLOWED + EMBEDDED_NOT)
def test_public_addresses_are_allowed(address: str) -> None:
    assert not refused(address)


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:4700::1111%1", "::1%lo"])
def test_an_address_with_a_zone_is_refused(address: str) -> None:
    assert refused(address)


def test_whatever_python_calls_not_global_is_refused() -> None:
    chance = random.Random(6)
    addresses: list[IPv4Address | IPv6Address] = [IPv4Address(chance.getrandbits(32)) for _ in range(5000)]
    addresses += [IPv6Address(chance.getrandbits(128)) for _ in range(2000)]
    addresses += [IPv6Address((0x2001 << 112) | chance.getrandbits(112)) for _ in range(2000)]
    assert [address for address in addresses if not address.is_global and not refused(str(address))] == []
    assert any(not refused(str(address)) for address in addresses)


@pytest.mark.parametrize(
    ("port", "allowed"),
    [(80, True), (443, True), (8080, True), (8443, True), (79, False), (81, False), (22, False), (0, False)],
)
def test_four_ports_are_allowed(port: int, allowed: bool) -> None:
    assert PUBLIC.allows_port(port) is allowed


def test_a_looser_rule_allows_its_own_networks_only() -> None:
    rule = AddressRule(ports=None, also_allowed=("127.0.0.1/32", "::1/128"))
    assert rule.refusal(ip_address("127.0.0.1")) is None
    assert rule.refusal(ip_address("::1")) is None
    assert rule.refusal(ip_address("127.0.0.2"))
    assert rule.refusal(ip_address("10.0.0.1"))
    assert rule.allows_port(12345)
