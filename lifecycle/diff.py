"""Show what changed between two versions at PLACE: by default between the one that serves and its canary, or the one
before it.

Labels, preprocessing, output, layers, sizes, and what was measured: by setting and by layer, a screenful at most;
--json has all. Only the two JSON objects are downloaded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lifecycle.differences import layers, settings
from lifecycle.errors import PlaceError
from lifecycle.place import Place, find_place, s3_trouble
from lifecycle.timeline import read_timeline

if TYPE_CHECKING:
    import argparse

    from lifecycle.console import Console
    from lifecycle.record import Record

MOST_LINES = 12
"""Of each of the two JSON objects: with the rest, a screenful."""
FACTS = ("source", "writer", "bytes", "labels", "verified", "tools")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", nargs="?", metavar="PLACE", help="s3://bucket/prefix or a stage")
    parser.add_argument("--old", metavar="VERSION", help="a version of `list`, or its beginning")
    parser.add_argument("--new", metavar="VERSION", help="likewise; by default what is published now")


def run(options: argparse.Namespace, console: Console) -> int:
    """Print the differences."""
    place = find_place(options.place)
    timeline = read_timeline(place)
    canary = timeline.canary
    new = timeline.named(options.new) if options.new else canary or timeline.current
    old = timeline.named(options.old) if options.old else timeline.current if canary else timeline.before()
    if new is None or old is None:
        raise PlaceError(f"there are no two versions at {place.url} to compare")
    document = compare(place, old, new)
    console.result(document, _lines(document))
    return 0


def compare(place: Place, old: Record, new: Record) -> dict[str, Any]:
    """What differs, by name; facts as [old, new]."""
    digests = {name: entry.get("sha256") for name, entry in new.objects.items()}
    same = {name for name, entry in old.objects.items() if digests.get(name) == entry.get("sha256")}
    names = sorted(old.objects.keys() | new.objects.keys())
    facts = {name: [old.document.get(name), new.document.get(name)] for name in FACTS}
    return {
        "old": old.version,
        "new": new.version,
        "objects": {name: "same" if name in same else "changed" for name in names},
        "facts": {name: pair for name, pair in facts.items() if pair[0] != pair[1]},
        "serving.json": _changes(place, old, new, "serving.json", same),
        "architecture.json": _changes(place, old, new, "architecture.json", same),
    }


def _changes(place: Place, old: Record, new: Record, name: str, same: set[str]) -> list[str]:
    """What differs in an object's JSON; empty if nothing does."""
    if name in same:
        return []
    before, after = (_document(place, found, name) for found in (old, new))
    return layers(before, after) if name == "architecture.json" else list(settings(before, after))


def _document(place: Place, found: Record, name: str) -> dict[str, Any]:
    """The object's JSON without what is training's; empty if there is none."""
    entry = found.objects.get(name)
    if entry is None:
        return {}
    pin = {"VersionId": entry["version_id"]} if entry["version_id"] != "null" else {}
    with s3_trouble(f"reading {name} of {found.version}"):
        document = json.loads(place.client.get_object(Bucket=place.bucket, Key=entry["key"], **pin)["Body"].read())
        return {field: value for field, value in document.items() if field != "compile_config"}


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"{document['old']} -> {document['new']}"]
    lines += [f"{name}: {old} -> {new}" for name, (old, new) in document["facts"].items()]
    lines += [f"{name}: {state}" for name, state in document["objects"].items()]
    for name in ("serving.json", "architecture.json"):
        if found := document[name]:
            lines += ["", f"{name}:", *(f"  {change}" for change in found[:MOST_LINES])]
            lines += [f"  ... and {len(found) - MOST_LINES} more: --json has all"] if len(found) > MOST_LINES else []
    return lines
