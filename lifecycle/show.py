"""Show everything about one version at PLACE: by default the one that serves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import Snapshot
from lifecycle import list as listing
from lifecycle import published_serving
from lifecycle.console import Console, megabytes
from lifecycle.errors import PlaceError
from lifecycle.marks import read_mark
from lifecycle.memory import Needs, needs_of
from lifecycle.place import Place, find_place
from lifecycle.publish import agreement_lines
from lifecycle.timeline import LOOK_S, Refused, Timeline, read_timeline

if TYPE_CHECKING:
    import argparse

    from lifecycle.record import Record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", nargs="?", metavar="PLACE", help="s3://bucket/prefix or a stage")
    parser.add_argument("--version", metavar="VERSION", help="a version of `list`, or its beginning")


def run(options: argparse.Namespace, console: Console) -> int:
    """Print it."""
    place = find_place(options.place)
    timeline = read_timeline(place)
    refused = timeline.refused()
    version = options.version or _instead(timeline, refused)
    if version or (timeline.current is not None and not timeline.swapped):
        document, lines = _published(place, timeline, version, refused)
    else:
        document, lines = _by_hand(place, timeline, refused)
    refused = None if options.version else refused
    document |= listing.refused_fields(refused)
    canary = None if options.version else timeline.canary
    beside = (
        [] if canary is None else [f"Beside   {canary.version}, {listing.state_of(listing.summary(timeline, canary))}"]
    )
    console.result(document, [*lines, *beside, *listing.refused_lines(refused)])
    return 0


def _instead(timeline: Timeline, refused: Refused | None) -> str | None:
    """What was published and serves in place of what is refused."""
    published = {found.version for found in timeline.publications}
    return refused.instead if refused is not None and refused.instead in published else None


def _published(
    place: Place, timeline: Timeline, version: str | None, refused: Refused | None
) -> tuple[dict[str, Any], list[str]]:
    found = timeline.named(version) if version else timeline.current
    if found is None:
        raise PlaceError(f"nothing was published at {place.url}")
    short = listing.summary(timeline, found, refused)
    mark = read_mark(place, found.version)
    serving = published_serving.of(place, found)
    document = {**found.document, **short, "place": place.url, "checked": mark, "serving": serving}
    lines = _lines(found, short, mark)
    needs = _needs(place, timeline, found)
    document |= {"needs": needs.as_dict()} if needs else {}
    return document, [
        *lines[:2],
        *published_serving.lines(serving),
        *([f"Needs    {needs}"] if needs else []),
        *lines[2:],
    ]


def _needs(place: Place, timeline: Timeline, found: Record) -> Needs | None:
    """What memory the functions need for a version; None where no report says how large its layers are."""
    snapshot = found.snapshot(place.prefix)
    report = timeline.store.compiled.report_for(snapshot, timeline.view.reports, time.monotonic() + LOOK_S)
    if report is None or report.refusal:
        return None
    return needs_of(snapshot.weights.size, report)


def _lines(found: Record, short: dict[str, Any], mark: dict[str, Any] | None) -> list[str]:
    labels = "" if short["labels"] is None else f", {short['labels']} labels"
    lines = [
        f"Model    {found.version}, {megabytes(short['bytes'])}{labels}{', serves now' if short['serves'] else ''}",
        *([f"Beside   {listing.state_of(short)}, beside what serves"] if "canary" in short else []),
        f"Source   {short['source']}",
        f"Time     published {found.published}, live since {found.document.get('activated', found.published)}",
    ]
    if "agreement" in found.document:
        lines += agreement_lines(found.document)
    if mark:
        verdict = "passed" if mark["passed"] else f"failed: {'; '.join(mark['problems'])}"
        right = [f"{share:.1%} right by {name}" for name, share in mark.get("accuracy", {}).items()]
        lines.append(f"Checked  {mark['checked']}: {', '.join([verdict, *right])}")
    for name, entry in found.objects.items():
        lines.append(f"Object   {name}: {entry['key']}, {megabytes(entry['size'])}, version {entry['version_id']}")
    return lines if short["whole"] else [*lines, "Lost     the bucket no longer has all of these objects"]


def _by_hand(place: Place, timeline: Timeline, refused: Refused | None) -> tuple[dict[str, Any], list[str]]:
    """A bundle that was copied into the bucket has no record: what its objects and its compiled form tell."""
    newest = timeline.view.newest
    if newest is None:
        raise PlaceError(f"there is no whole bundle at {place.url}")
    if not isinstance(newest, Snapshot):
        raise PlaceError(f"objects at {place.url} were swapped by hand moments ago; try again in {newest.wait_s:.0f} s")
    deadline = time.monotonic() + LOOK_S
    report = timeline.store.compiled.report_for(newest, timeline.view.reports, deadline)
    version = report.fingerprint if report else timeline.store.bundles.read(newest, deadline).fingerprint
    objects: dict[str, Any] = {
        part.role: {"key": part.key, "size": part.size, "etag": part.etag} for part in newest.parts
    }
    engine = None if refused else "litert" if report and report.usable else "tensorflow"
    document = {"place": place.url, "version": version, "published": None, "engine": engine, "objects": objects}
    how = f"served by {engine}" if engine else "refused"
    lines = [f"Model    {version}, swapped by hand, {megabytes(newest.size)}, {how}"]
    if report is not None and not report.refusal:
        needs = needs_of(newest.weights.size, report)
        document["needs"], lines = needs.as_dict(), [*lines, f"Needs    {needs}"]
    lines += [f"Object   {part.role}: {part.key}, {megabytes(part.size)}" for part in newest.parts]
    return document, lines
