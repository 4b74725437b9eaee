"""What fetching a link is tested with: rules and limits for loopback servers, and names that only the test knows."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from classifier.links.fetch import FetchLimits
from classifier.links.netguard import AddressRule
from tests.support.servers import MAX_BYTES

LOOPBACK = AddressRule(ports=None, also_allowed=("127.0.0.1/32",))
LIMITS = FetchLimits(max_bytes=MAX_BYTES, timeout_s=5)
SOON = FetchLimits(max_bytes=MAX_BYTES, timeout_s=0.15)


def names(monkeypatch: pytest.MonkeyPatch, **addresses: list[str]) -> list[str]:
    """Let the process know these `<name>.test` only; the list that is returned fills with what was asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses[host.removesuffix(".test")]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked
