"""Show what changed between two versions at PLACE: by default between the one that serves and the one before it.

Labels, preprocessing, output, layers, sizes, and what was measured. Only the two JSON objects are downloaded.
"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from lifecycle.errors import PlaceError
from lifecycle.place import Place, find_place, s3_trouble
from lifecycle.timeline import read_timeline

if TYPE_CHECKING:
    import argparse

    from lifecycle.console import Console
    from lifecycle.record import Record

MOST_LINES = 200
FACTS = ("source", "writer", "bytes", "labels", "verified", "tools")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", nargs="?", metavar="PLACE", help="s3://bucket/prefix or a stage")
    parser.add_argument("--old", metavar="VERSION", help="a version of `list`, or its beginning")
    parser.add_argument("--new", metavar="VERSION", help="likewise; by default what is published now")


def run(options: argparse.Namespace, console: Console) -> int:
    """Print the differences."""
    place = find_place(options.place)
    timeline = read_timeline(place)
    new = timeline.named(options.new) if options.new else timeline.current
    old = timeline.named(options.old) if options.old else timeline.before()
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
        "serving.json": _text_changes(place, old, new, "serving.json", same),
        "architecture.json": _text_changes(place, old, new, "architecture.json", same),
    }


def _text_changes(place: Place, old: Record, new: Record, name: str, same: set[str]) -> list[str]:
    """A unified diff of an object's JSON, its keys sorted; empty if nothing but the way of writing changed."""
    if name in same:
        return []
    before, after = (_sorted_lines(place, found, name) for found in (old, new))
    return list(difflib.unified_diff(before, after, old.version, new.version, n=1, lineterm=""))[:MOST_LINES]


def _sorted_lines(place: Place, found: Record, name: str) -> list[str]:
    entry = found.objects.get(name)
    if entry is None:
        return []
    pin = {"VersionId": entry["version_id"]} if entry["version_id"] != "null" else {}
    with s3_trouble(f"reading {name} of {found.version}"):
        found_json = json.loads(place.client.get_object(Bucket=place.bucket, Key=entry["key"], **pin)["Body"].read())
    document = {field: value for field, value in found_json.items() if field != "compile_config"}  # training's
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).splitlines()


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"{document['old']} -> {document['new']}"]
    lines += [f"{name}: {old} -> {new}" for name, (old, new) in document["facts"].items()]
    lines += [f"{name}: {state}" for name, state in document["objects"].items()]
    for name in ("serving.json", "architecture.json"):
        if document[name]:
            lines += ["", *document[name]]
    return lines
