"""List the versions that were published at PLACE, newest first: when, from what, how large, how it was measured, and
which one serves, with its canary. `lost` versions can't be gone back to: the bucket no longer has their objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lifecycle.console import Console, megabytes, table
from lifecycle.place import find_place
from lifecycle.timeline import BY_HAND, Refused, Timeline, read_timeline

if TYPE_CHECKING:
    import argparse

    from lifecycle.record import Record

HEADING = ("version", "published", "size", "labels", "difference", "engine", "state", "source")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", nargs="?", metavar="PLACE", help="s3://bucket/prefix or a stage")


def run(options: argparse.Namespace, console: Console) -> int:
    """Print the list."""
    place = find_place(options.place)
    timeline = read_timeline(place)
    canary = [] if timeline.canary is None else [timeline.canary]
    refused = timeline.refused()
    rows = [summary(timeline, found, refused) for found in [*canary, *timeline.publications]]
    serving = timeline.serving if refused is None else refused.instead
    document = {"place": place.url, "serving": serving, "versions": rows} | refused_fields(refused)
    console.result(document, [*_lines(place.url, serving, rows), *refused_lines(refused)])
    return 0


def refused_fields(refused: Refused | None) -> dict[str, Any]:
    """The same as `refused_lines`, for programs."""
    return {} if refused is None else {"refused": refused.reason, "refused_version": refused.version}


def refused_lines(refused: Refused | None) -> list[str]:
    """What to tell when functions can't serve the newest objects."""
    if refused is None:
        return []
    return [
        f"Refused  {refused.version}, which is newest, can't be served: {refused.reason}",
        f"         {refused.told}",
    ]


def summary(timeline: Timeline, found: Record, refused: Refused | None = None) -> dict[str, Any]:
    """One publication as a list shows it; `refused` as the timeline has it."""
    agreement = found.document.get("agreement", {})
    compiled = agreement.get("compiled", {})
    return {
        "version": found.version,
        "published": found.published,
        "source": found.document.get("source", ""),
        "bytes": found.document.get("bytes") or sum(int(entry.get("size", 0)) for entry in found.objects.values()),
        "labels": found.document.get("labels"),
        "largest_difference": agreement.get("source", {}).get("largest_difference"),
        "engine": ("litert" if compiled["usable"] else "tensorflow") if compiled else None,
        "verified": found.verified,
        "serves": _serves(timeline, found, refused),
        "whole": timeline.is_whole(found),
        **_canary(found),
        **({"refused": refused.reason} if refused and refused.version == found.version else {}),
    }


def _canary(found: Record) -> dict[str, Any]:
    """That a record is a canary's, and what it gets."""
    if "percent" not in found.document:
        return {}
    return {"canary": {"percent": found.document["percent"], "shadow": found.document.get("shadow") is True}}


def state_of(row: dict[str, Any]) -> str:
    """What a version is at the moment, in a word or two."""
    if canary := row.get("canary"):
        return f"{'shadow' if canary['shadow'] else 'canary'} {canary['percent']} %"
    known = {"serves": row["serves"], "refused": row.get("refused"), "lost": not row["whole"]}
    return next((state for state, holds in known.items() if holds), "")


def _serves(timeline: Timeline, found: Record, refused: Refused | None) -> bool:
    if refused is not None:
        return found is next((item for item in timeline.publications if item.version == refused.instead), None)
    current = timeline.current
    same = current is not None and (found.version, found.published) == (current.version, current.published)
    return same and not timeline.swapped


def _lines(url: str, serving: str | None, rows: list[dict[str, Any]]) -> list[str]:
    shown = [HEADING, *map(_row, rows)]
    lines = table(shown) if rows else [f"Nothing was published at {url}."]
    if serving == BY_HAND:
        lines.append("Serving now: objects that were swapped by hand, newer than anything published.")
    elif serving is None:
        lines.append("Serving now: nothing; there is no whole bundle.")
    return lines


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    difference = row["largest_difference"]
    return (
        row["version"],
        row["published"][:19].replace("T", " "),
        megabytes(row["bytes"]),
        _or_dash(row["labels"]),
        "-" if difference is None else f"{difference:.1e}",
        _or_dash(row["engine"]),
        state_of(row),
        row["source"],
    )


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)
