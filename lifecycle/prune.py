"""Delete the objects and compiled forms of old versions that were published at PLACE: for good, there is no way back.

Kept are what serves and its canary, the versions that served last (--keep, 10 unless told), whatever an object was
written to within a day, and all that was never published. Without --yes it only says what it would delete.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import Snapshot, Unsettled
from classifier.bundles.compiled import FOLDER, known_fingerprint
from lifecycle import record
from lifecycle.console import Console, megabytes
from lifecycle.errors import PlaceError, UsageError
from lifecycle.place import Place, find_place, s3_trouble
from lifecycle.release import VERSIONS
from lifecycle.shares import canary_of
from lifecycle.timeline import BY_HAND, LOOK_S, Timeline, read_timeline

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

KEPT = 10
FRESH_S = 86_400.0
"""Nothing this young is deleted: somebody may be publishing it, and it goes live last."""
MOST_KEYS = 1000
"""Keys of one DeleteObjects request."""
_VERSION = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one object, or its delete marker; `written` in seconds since the epoch by S3's clock."""

    key: str
    version_id: str
    size: int
    written: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", nargs="?", metavar="PLACE", help="s3://bucket/prefix or a stage")
    parser.add_argument("--keep", type=int, default=KEPT, metavar="N", help=f"versions to keep ({KEPT}), 1 at least")
    parser.add_argument("--yes", action="store_true", help="delete; else it only says what it would")
    parser.add_argument("--dry-run", action="store_true", help="say what it would delete, also with --yes")


def run(options: argparse.Namespace, console: Console) -> int:
    """Prune, or say what that would be."""
    if options.keep < 1:
        raise UsageError("--keep must be 1 at least: what serves is never deleted")
    place = find_place(options.place)
    timeline = read_timeline(place)
    why, old = kept(timeline, options.keep), {}
    keep = set(why)
    for version, objects in _stored(place, "").items():
        if version in keep:
            continue
        if reason := _spared(version, objects, timeline):
            why[version] = reason
        else:
            old[version] = objects
    deleting = options.yes and not options.dry_run
    gone = [version for version in old if not deleting or _delete(place, version, keep, timeline, console)]
    console.result(*_told(place, why, {version: old[version] for version in gone}, deleted=deleting))
    return 0


def kept(timeline: Timeline, count: int) -> dict[str, str]:
    """What serves, and the `count` versions that served last and can be gone back to; with the reason of each."""
    last = list(dict.fromkeys(found.version for found in timeline.records if timeline.is_whole(found)))[:count]
    named = f"one of the {count} that served last (--keep)"
    return {**dict.fromkeys(last, named), **dict(_serving(timeline))}


def _spared(version: str, objects: Sequence[Stored], timeline: Timeline) -> str:
    """Why a version that is neither served nor among the last is not deleted; empty if it may be."""
    if not _was_published(version, objects, timeline):
        return "never published: compiled for objects that were swapped in by hand"
    return "an object of it was written to within a day" if _fresh(objects, timeline) else ""


def _serving(timeline: Timeline) -> Iterator[tuple[str, str]]:
    """What is published, and what serves in its place because it was swapped in by hand."""
    newest = timeline.view.newest
    if isinstance(newest, Unsettled):
        raise PlaceError("objects were swapped by hand moments ago; try again when they serve")
    if timeline.current is not None:
        yield timeline.current.version, "published, under a swap by hand" if timeline.swapped else "serves"
    if found := canary_of(timeline.current):
        yield str(found["version"]), "canary"
    if isinstance(newest, Snapshot):
        known = known_fingerprint(newest)
        report = timeline.store.compiled.report_for(newest, timeline.view.reports, time.monotonic() + LOOK_S)
        for version in {known or "", report.fingerprint if report else ""} - {""}:
            yield version, "serves"
    if refused := timeline.refused():
        yield refused.version, "newest, and refused: it serves nowhere"
        if refused.instead and refused.instead != BY_HAND:
            yield refused.instead, f"serves, as {refused.version} is refused"


def _stored(place: Place, version: str) -> Mapping[str, list[Stored]]:
    """Every stored object of `versions/` and `compiled/` by the version it belongs to; of one version or of all."""
    found: dict[str, list[Stored]] = defaultdict(list)
    for folder in (VERSIONS, FOLDER):
        prefix = place.prefix + folder
        with s3_trouble(f"listing s3://{place.bucket}/{prefix}"):
            pages = place.client.get_paginator("list_object_versions").paginate(
                Bucket=place.bucket, Prefix=prefix + version
            )
            for item in (
                item for page in pages for kind in ("Versions", "DeleteMarkers") for item in page.get(kind, [])
            ):
                name, _, rest = item["Key"].removeprefix(prefix).partition("/")
                if rest and _VERSION.fullmatch(name):
                    written = item["LastModified"].timestamp()
                    found[name].append(Stored(item["Key"], item["VersionId"], item.get("Size", 0), written))
    return found


def _was_published(version: str, objects: Sequence[Stored], timeline: Timeline) -> bool:
    """Whether it has a record, or objects that only publishing makes: compiled forms also come from swaps by hand."""
    recorded = any(found.version == version for found in timeline.records)
    return recorded or any(f"/{VERSIONS}{version}/" in f"/{item.key}" for item in objects)


def _fresh(objects: Sequence[Stored], timeline: Timeline) -> bool:
    return any(timeline.view.now - item.written < FRESH_S for item in objects)


def _delete(place: Place, version: str, keep: set[str], timeline: Timeline, console: Console) -> bool:
    """Delete one version, unless it became the served one meanwhile, or somebody began to publish it again.

    Both are looked up right before: who goes back to it or publishes it would have to do all of that in between.
    """
    objects = _stored(place, version).get(version, [])
    current = record.read_current(place)
    canary = canary_of(current) or {}
    if (
        current is None
        or not {current.version, canary.get("version", current.version)} <= keep
        or _fresh(objects, timeline)
    ):
        raise PlaceError(f"somebody changed what is published at {place.url} meanwhile; nothing further was deleted")
    console.progress(f"deleting {version}, {megabytes(sum(item.size for item in objects))}")
    # Reports first: one stands for a whole compiled form.
    ordered = sorted(objects, key=lambda item: not item.key.endswith("/report.json"))
    for start in range(0, len(ordered), MOST_KEYS):
        _delete_some(place, ordered[start : start + MOST_KEYS])
    return True


def _delete_some(place: Place, objects: Sequence[Stored]) -> None:
    asked = [{"Key": item.key, "VersionId": item.version_id} for item in objects]
    with s3_trouble(f"deleting under {place.url}"):
        answer = place.client.delete_objects(Bucket=place.bucket, Delete={"Objects": asked, "Quiet": True})
    if failed := answer.get("Errors"):
        first = failed[0]
        raise PlaceError(f"{first['Key']} was not deleted: {first.get('Code')}: {first.get('Message', '')}")


def _told(
    place: Place, why: Mapping[str, str], gone: Mapping[str, Sequence[Stored]], *, deleted: bool
) -> tuple[dict[str, Any], list[str]]:
    sizes = {version: sum(item.size for item in objects) for version, objects in gone.items()}
    document = {"place": place.url, "deleted": deleted, "kept": sorted(why), "why": dict(why), "versions": sizes}
    verb = "Deleted" if deleted else "Would delete"
    lines = [f"{verb}  {version}, {megabytes(size)}" for version, size in sizes.items()]
    lines += [f"Keeps    {version}: {reason}" for version, reason in why.items()]
    total = f"{len(sizes)} versions, {megabytes(sum(sizes.values()))}; {len(why)} are kept"
    if not deleted:
        return document, [*lines, f"{verb} {total}. Nothing was deleted: --yes does it, and it can't be undone"]
    return document, [*lines, f"{verb} {total}. This can't be undone"]
