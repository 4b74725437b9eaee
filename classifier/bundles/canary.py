"""The second model that `published.json` may name, and which callers belong to it (docs/operate/canary.md).

Pure, and imported only where there is a canary: loading it is model_loader's, answering with it classifier.callers',
ending it scripts/models' and classifier.canary_alarm's.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import PUBLISHED, Publication, Snapshot, pinned_parts
from classifier.documents import Fields, check
from classifier.errors import ModelError
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

ACTION = "canary"
ABORT_ON = "abort_on"
"""Names what ends the canary without anybody's doing: a list of `errors`."""
_CANARY = Fields({"version": str, "percent": int, "objects": dict, "since": int}, {"shadow": bool})
_POSITIONS = 1 << 64


class Plan(Record):
    """What `published.json` says of the canary; `percent` of the callers, or of the requests if it is a shadow."""

    version: str
    percent: int
    shadow: bool
    snapshot: Snapshot | None
    """None if what is said of it makes no sense, as `problem` tells: then the stable model answers everybody."""
    problem: str = ""

    def has(self, key: str) -> bool:
        """Whether the caller, or the request, of this key belongs to the canary.

        A larger `percent` only adds keys: each has one position, for as long as the canary's version stays.
        """
        return position(key, self.version) * 100 < self.percent * _POSITIONS


def position(key: str, version: str) -> int:
    """Where a key stands, 0 to 2^64 - 1: the first 8 bytes, big-endian, of the SHA-256 over version, NUL and key.

    The version is the salt, so that each canary meets other callers.
    """
    digest = hashlib.sha256(f"{version}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


def plan_of(publication: Publication, newest: object, prefix: str) -> Plan | None:
    """The canary beside what is newest; None if there is none, or objects swapped by hand count: they end it."""
    if publication.canary is None:
        return None
    if isinstance(newest, Snapshot) and newest.parts != tuple(sorted(publication.parts, key=lambda part: part.role)):
        return None
    said = publication.canary if isinstance(publication.canary, dict) else {}
    version, percent, shadow = said.get("version"), said.get("percent"), said.get("shadow") is True
    try:
        snapshot = _checked(publication, prefix)
    except ModelError as error:
        number = percent if isinstance(percent, int) and 0 <= percent <= 100 else 0
        return Plan(str(version)[:64], number, shadow, None, str(error))
    return Plan(said["version"], said["percent"], shadow, snapshot)


def without(document: Mapping[str, Any], written: float) -> dict[str, Any]:
    """`published.json` without its canary; `written` is when S3 got it, in seconds since the epoch."""
    left = {name: value for name, value in document.items() if name != "canary"}
    return {**left, "action": ACTION, "live_since": live_since(document, written)}


def live_since(document: Mapping[str, Any], written: float) -> int:
    """When the stable model went live, in seconds since the epoch: writing for a canary does not change that."""
    said = document.get("live_since")
    return said if isinstance(said, int) else int(written)


def _checked(publication: Publication, prefix: str) -> Snapshot:
    """The canary's objects; ModelError if its part of the document is malformed."""
    what = f"{prefix}{PUBLISHED}.canary"
    said = publication.canary
    if not isinstance(said, dict):
        raise ModelError(f"{what} is no object")
    check(said, _CANARY, what)
    if not 0 <= said["percent"] <= 100:
        raise ModelError(f"{what}.percent is {said['percent']}, expected 0 to 100")
    parts = pinned_parts(said["objects"], publication.written, prefix, what)
    if not {"architecture", "weights"} <= {part.role for part in parts}:
        raise ModelError(f"{what}.objects has no architecture or no weights")
    return Snapshot(tuple(sorted(parts, key=lambda part: part.role)), float(said["since"]))
