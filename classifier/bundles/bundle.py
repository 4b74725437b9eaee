"""Which objects are the model: choosing one whole bundle from what S3 lists, and naming it by its content.

Pure: listings in, snapshots out. Reading S3 is `bundle_reader`'s, and building the model the engines'.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal

from classifier.documents import Fields, check, read_object
from classifier.errors import ModelError
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from classifier.s3.listing import ObjectInfo

type Role = Literal["architecture", "weights", "serving", "labels"]
type Identity = frozenset[tuple[Role, str]]
"""Roles and ETags: what tells one bundle's objects from another's without reading them."""

ROLES: Mapping[str, Role] = {
    "architecture.json": "architecture",
    "model.weights.h5": "weights",
    "weights.h5": "weights",
    "serving.json": "serving",
    "labels.txt": "labels",
}
REQUIRED: tuple[Role, ...] = ("architecture", "weights")
PUBLISHED = "published.json"
_PUBLISHED = Fields({"objects": dict}, {"replaced": {str: str}, "live_since": int})
_ENTRY = Fields({"key": str, "etag": str, "version_id": str, "sha256": str, "size": int})
TIME_STEP_S = 1.0
"""S3's times are whole seconds: of two that differ by n, the moments may lie little more than n - 1 apart."""


class Part(Record):
    """One object of a bundle, exactly one version of it: by VersionId where there is one, else by ETag."""

    role: Role
    key: str
    etag: str
    size: int
    modified: float
    version_id: str | None = None
    sha256: str | None = None


class Snapshot(Record):
    """The objects of one bundle at one moment; equal snapshots are the same model."""

    parts: tuple[Part, ...]
    updated: float
    """When the newest object was written, in seconds since the epoch."""

    @property
    def identity(self) -> Identity:
        """What tells this bundle's objects from another's."""
        return frozenset((part.role, part.etag) for part in self.parts)

    @property
    def stated(self) -> frozenset[tuple[Role, str, str | None]]:
        """The same with the SHA-256 stated for each: an untrue statement is refused, and its objects may be sound."""
        return frozenset((part.role, part.etag, part.sha256) for part in self.parts)

    @property
    def weights(self) -> Part:
        """The weights file."""
        return next(part for part in self.parts if part.role == "weights")

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(part.size for part in self.parts)


class Unsettled(Record):
    """Objects were swapped so recently that more may follow; it counts in `wait_s` seconds if nothing does."""

    wait_s: float


class Publication(Record):
    """What `published.json` says: the parts it pins, and when it was written itself."""

    parts: tuple[Part, ...]
    written: float
    replaced: frozenset[tuple[str, str]] = frozenset()
    """Names and ETags of the objects that had been swapped in by hand before: S3's times are whole seconds."""
    live_since: float = 0.0
    """When the model went live, where the document was written again since for its canary; 0: when it was written."""
    canary: Any = None
    """What it says of a canary, not checked yet: `classifier.bundles.canary` reads it where there is one."""


def choose(
    objects: Iterable[ObjectInfo], publication: Publication | None, now: float, settle_s: float
) -> Snapshot | Unsettled | None:
    """The newest bundle of a listing of the prefix, None if it is incomplete.

    Published objects are taken as pinned. An object that differs from its pinned version and is newer than
    `published.json` was swapped by hand: it counts once the last such swap is `settle_s` seconds old by S3's clock.
    """
    pinned = {part.role: part for part in publication.parts} if publication else {}
    since = publication.written if publication else 0.0
    swapped = {
        part.role: part
        for part in _current(info for info in objects if publication is None or _is_newer(info, publication))
        if not (part.role in pinned and pinned[part.role].etag == part.etag)
    }
    live = (publication.live_since or since) if publication else since
    newest = max((part.modified for part in swapped.values()), default=live)
    quiet_s = _surely(settle_s)
    if swapped and now - newest < quiet_s:
        return Unsettled(quiet_s - (now - newest))
    parts = {**pinned, **swapped}
    if not all(role in parts for role in REQUIRED):
        return None
    return Snapshot(tuple(parts[role] for role in sorted(parts)), newest)


def _surely(settle_s: float) -> float:
    """How far two of S3's times lie apart at least when `settle_s` seconds passed between them."""
    return settle_s + TIME_STEP_S if settle_s else 0.0


def _is_newer(info: ObjectInfo, publication: Publication) -> bool:
    """Whether the object came after `published.json`: within one second the publisher's own word decides."""
    if info.modified != publication.written:
        return info.modified > publication.written
    return (_name(info.key), info.etag) not in publication.replaced


def quiet_moments(versions: Iterable[ObjectInfo], settle_s: float, now: float) -> list[float]:
    """Moments, newest first, at which the prefix was a whole bundle: nothing changed for `settle_s` seconds after.

    The moment when `published.json` was written counts at once. Needs a versioned bucket to be of any use.
    """
    changes = sorted({info.modified for info in versions if _name(info.key) in ROLES}, reverse=True)
    published = {info.modified for info in versions if _name(info.key) == PUBLISHED and not info.deleted}
    following = [now, *changes[:-1]]
    pairs = zip(changes, following, strict=True) if changes else ()
    quiet = {at for at, after in pairs if after - at >= _surely(settle_s)}
    return sorted(quiet | published, reverse=True)


def state_at(versions: Iterable[ObjectInfo], moment: float) -> list[ObjectInfo]:
    """The objects as they were at `moment`: for each key the newest version until then, unless it was deleted."""
    state: dict[str, ObjectInfo] = {}
    for info in versions:  # newest first for each key, as S3 lists them
        if info.modified <= moment:
            state.setdefault(info.key, info)
    return [info for info in state.values() if not info.deleted]


def parse_publication(data: bytes, written: float, prefix: str) -> Publication:
    """Read `published.json`; ModelError if it is malformed or names objects outside `prefix`."""
    what = f"{prefix}{PUBLISHED}"
    document: Mapping[str, Any] = read_object(data, what)
    check(document, _PUBLISHED, what)
    parts = pinned_parts(document["objects"], written, prefix, what)
    replaced, live_since = frozenset(document.get("replaced", {}).items()), float(document.get("live_since", 0))
    return Publication(parts, written, replaced, live_since, document.get("canary"))


def pinned_parts(objects: Mapping[str, Any], written: float, prefix: str, what: str) -> tuple[Part, ...]:
    """The parts that `objects` pins, ModelError if one is malformed; `what` names the document in errors."""
    entries = {name: entry for name, entry in objects.items() if name in ROLES}
    check(entries, {str: _ENTRY}, f"{what}.objects")
    return tuple(_pinned(name, entry, written, prefix) for name, entry in entries.items())


def fingerprint(digests: Mapping[Role, str]) -> str:
    """The model's version: 16 hexadecimal digits of the SHA-256 over each part's role and SHA-256, roles sorted."""
    lines = "".join(f"{role} {digests[role]}\n" for role in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _pinned(name: str, entry: Mapping[str, Any], written: float, prefix: str) -> Part:
    key, size = entry["key"], entry["size"]
    if not key.startswith(prefix) or ".." in key.split("/"):
        raise ModelError(f"{prefix}{PUBLISHED}: the key {key[:200]!r} is outside {prefix!r}")
    if size < 0:
        raise ModelError(f"{prefix}{PUBLISHED}: {key[:200]!r} has {size} bytes")
    text = {field: entry[field].strip('"') for field in ("etag", "version_id", "sha256")}
    return Part(role=ROLES[name], key=key, size=size, modified=written, **text)


def _current(objects: Iterable[ObjectInfo]) -> Iterable[Part]:
    """One part a role; of two weights files the newer, as whoever uploaded it last meant it."""
    named = sorted((info for info in objects if _name(info.key) in ROLES), key=lambda info: info.modified)
    found = {ROLES[_name(info.key)]: info for info in named}
    for role, info in found.items():
        yield Part(role, info.key, info.etag, info.size, info.modified, info.version_id)


def _name(key: str) -> str:
    return key.rpartition("/")[2]
