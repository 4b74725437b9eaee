"""Go back to a model that was published before at PLACE: within seconds, as only published.json is written.

Without --to, that is the version published before the one that serves; where a model was swapped in by hand, it is
the published one. Going back again goes one further back. A canary ends: all callers get what was gone back to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import Unsettled
from lifecycle import record
from lifecycle.errors import PlaceError, UsageError
from lifecycle.place import Place, find_place
from lifecycle.timeline import Timeline, read_timeline

if TYPE_CHECKING:
    import argparse

    from lifecycle.console import Console
    from lifecycle.record import Record

NAME = "rollback"
OF_THAT_TIME = ("canary", "live_since")
"""What published.json said of a canary when the version was live; whoever goes back ends the canary of today, too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", nargs="?", metavar="PLACE", help="s3://bucket/prefix or a stage")
    parser.add_argument("--to", metavar="VERSION", help="a version of `list`, or its beginning")
    parser.add_argument("--dry-run", action="store_true", help="say what it would go back to")


def run(options: argparse.Namespace, console: Console) -> int:
    """Go back."""
    place = find_place(options.place)
    timeline = read_timeline(place)
    target = _target(place, timeline, options.to)
    if _serves(timeline, target):
        document = {"place": place.url, "version": target.version, "changed": False}
        console.result(document, [f"{target.version} serves already."])
        return 0
    if not options.dry_run:
        written = record.write(place, _document(target, timeline), timeline.current)
        _check_whole(place, target, timeline, written, console)
    console.result(*_told(place, timeline, target, dry_run=options.dry_run))
    return 0


def _target(place: Place, timeline: Timeline, version: str | None) -> Record:
    target = timeline.named(version) if version else timeline.before()
    if target is None:
        raise PlaceError(f"nothing to go back to at {place.url}: no other version was published, or it is lost")
    if timeline.canary is not None and target.version == timeline.canary.version and version:
        raise UsageError(f"{target.version} is the canary: `canary {place.url} promote` makes it what serves")
    if not timeline.is_whole(target):
        raise PlaceError(f"{target.version} is lost: the bucket no longer has all the objects of it")
    return target


def _check_whole(place: Place, target: Record, timeline: Timeline, written: Record, console: Console) -> None:
    """`prune` may have deleted the version between our look and our writing: then back to what served."""
    try:
        there = record.existing(place)
    except PlaceError as error:
        console.warn(f"it is live, but S3 doesn't say whether all of it is still there: {error}")
        return
    if timeline.current is None or record.is_whole(target, there):
        return
    record.write(place, timeline.current.document, written)
    raise PlaceError(f"{target.version} was deleted meanwhile; {timeline.current.version} is published again")


def _serves(timeline: Timeline, target: Record) -> bool:
    current = timeline.current
    return current is not None and not timeline.swapped and current.objects == target.objects


def _document(target: Record, timeline: Timeline) -> dict[str, Any]:
    document = {name: value for name, value in target.document.items() if name not in OF_THAT_TIME}
    return {**document, "activated": record.now(), "action": NAME, "rolled_back_from": timeline.serving}


def _told(place: Place, timeline: Timeline, target: Record, *, dry_run: bool) -> tuple[dict[str, Any], list[str]]:
    undo = timeline.undo(place)
    document = {
        "place": place.url,
        "version": target.version,
        "previous": timeline.serving,
        "changed": not dry_run,
        "dry_run": dry_run,
        "undo": None if dry_run else undo,
    }
    line = f"{place.url}: {timeline.serving} -> {target.version}, published {target.published}"
    if dry_run:
        return document, [f"Would go back. {line}"]
    lines = [f"Went back. {line}; each function adopts it at its next check"]
    if isinstance(timeline.view.newest, Unsettled):
        lines.append("What was being swapped in by hand is older than this and does not count; copies after it do.")
    return document, [*lines, f"Undo     {undo}"]
