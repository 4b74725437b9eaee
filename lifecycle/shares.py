"""A canary in published.json: beginning, raising, promoting, ending one, and keeping it beside a new stable model."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from classifier.bundles.canary import ABORT_ON, ACTION, live_since, without
from lifecycle import record
from lifecycle.errors import PlaceError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from lifecycle.place import Place
    from lifecycle.record import Record

OWN = ("percent", "shadow", "since", ABORT_ON)
"""What published.json says of a canary and of no other model."""
ERRORS = "errors"
APART_S = 300
"""So long after the end of a canary the alarm may still be about it: its last minute, three that are looked at, and the
time that functions and CloudWatch take."""


class There(Protocol):
    """What must be known of a place: lifecycle.timeline.Timeline."""

    @property
    def current(self) -> Record | None: ...
    @property
    def records(self) -> Sequence[Record]: ...
    @property
    def swapped(self) -> bool: ...
    @property
    def canary(self) -> Record | None: ...


@dataclass(frozen=True, slots=True)
class Share:
    """What a canary gets: so many percent of the callers, or as a shadow of the requests."""

    percent: int
    shadow: bool = False
    abort_on: tuple[str, ...] = ()
    """What ends it by itself, where the deployment has an alarm for that."""

    def __str__(self) -> str:
        return f"{self.percent} % of the requests, as a shadow" if self.shadow else f"{self.percent} % of the callers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `publish` and `promote`."""
    parser.add_argument(
        "--canary",
        type=percentage,
        metavar="PERCENT",
        help="only for so many percent of the callers, beside what serves",
    )
    parser.add_argument(
        "--shadow", action="store_true", help="the canary answers nobody: both compute so many percent of the requests"
    )
    parser.add_argument(
        "--abort-on",
        choices=[ERRORS],
        help="an alarm ends the canary once its errors are many more than the stable model's (parameter canaryAlarm)",
    )


def percentage(text: str) -> int:
    """A whole number of percent, 1 to 100."""
    import argparse

    number = text.removesuffix("%").strip()
    if not number.isdecimal() or not 1 <= int(number) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of percent, 1 to 100")
    return int(number)


def asked(options: argparse.Namespace, place: Place, timeline: There) -> Share | None:
    """The share that --canary asks for; UsageError, PlaceError where there can't be a canary."""
    if options.canary is None:
        if options.shadow:
            raise UsageError("--shadow needs a share of the requests: --canary 10 --shadow")
        if options.abort_on:
            raise UsageError("--abort-on is about a canary: --canary 10 --abort-on errors")
        return None
    if timeline.current is None:
        raise PlaceError(f"nothing is published at {place.url} that a canary could run beside")
    if timeline.swapped:
        raise PlaceError(f"what serves at {place.url} was swapped by hand: publish it first, then begin the canary")
    if timeline.canary is not None:
        raise PlaceError(
            f"{timeline.canary.version} is a canary at {place.url} already: "
            f"`canary {place.url} promote` it, or `abort` it first"
        )
    if options.abort_on and (rest_s := APART_S - (time.time() - _last_end(timeline.records))) > 0:
        raise PlaceError(
            f"the last canary at {place.url} ended moments ago, and an alarm may still be about that one: begin this "
            f"one in {rest_s:.0f} s, or without --abort-on"
        )
    return Share(options.canary, options.shadow, (options.abort_on,) if options.abort_on else ())


def _last_end(records: Sequence[Record]) -> float:
    """When the last canary ended, in seconds since the epoch; 0 if there was none. `records` newest first."""
    pairs = pairwise(records)
    return next((after.written for after, before in pairs if canary_of(before) and not canary_of(after)), 0.0)


def told(share: Share | None) -> dict[str, Any]:
    """What `--json` tells of it."""
    if share is None:
        return {}
    own = {ABORT_ON: list(share.abort_on)} if share.abort_on else {}
    return {"canary": {"percent": share.percent, "shadow": share.shadow, **own}}


def guard_lines(said: Sequence[str]) -> list[str]:
    """What is told of a canary that says what ends it."""
    if not said:
        return []
    text = "an alarm ends it when its errors are many more, if the functions were deployed with canaryAlarm"
    return [f"Guard    {text} (docs/operate/canary.md)"]


def undo(place: Place) -> str:
    """How to end a canary."""
    return f"scripts/models canary {place.url} abort"


def begun(current: Record, candidate: Mapping[str, Any], share: Share) -> dict[str, Any]:
    """What serves, with the candidate as its canary."""
    live = live_since(current.document, current.written)
    since = max(int(time.time()), live + 1)  # TensorFlow Serving's number: greater, and never the same
    own: dict[str, Any] = {"percent": share.percent, "since": since} | ({"shadow": True} if share.shadow else {})
    own |= {ABORT_ON: list(share.abort_on)} if share.abort_on else {}
    return {**ended(current), "canary": {**candidate, **own}}


def kept(seen: Record | None, document: Mapping[str, Any]) -> dict[str, Any]:
    """A new stable model with the canary that runs, unless it is what the canary was."""
    found = canary_of(seen)
    if found is None or found["version"] == document["version"]:
        return dict(document)
    return {**document, "canary": found}


def raised(current: Record, share: Share) -> dict[str, Any]:
    """The same canary with another share; a shadow that gets callers is none any more."""
    found = {name: value for name, value in (canary_of(current) or {}).items() if name != "shadow"}
    return {**ended(current), "canary": {**found, "percent": share.percent}}


def ended(current: Record) -> dict[str, Any]:
    """What serves, without a canary."""
    return without(current.document, current.written)


def promoted(current: Record) -> dict[str, Any]:
    """The canary as what serves."""
    found = canary_of(current) or {}
    document = {name: value for name, value in found.items() if name not in OWN}
    own = {"activated": record.now(), "action": "promote", "promoted_from": ACTION, "live_since": found["since"]}
    return {**document, **own}


def canary_of(found: Record | None) -> dict[str, Any] | None:
    """What a record says of a canary, None if it has none that makes sense."""
    said = found.document.get("canary") if found is not None else None
    whole = (
        isinstance(said, dict)
        and isinstance(said.get("objects"), dict)
        and {"version", "percent", "since"} <= said.keys()
    )
    return said if whole else None
