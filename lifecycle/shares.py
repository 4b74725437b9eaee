"""A canary in published.json: beginning, raising, promoting, ending one, and keeping it beside a new stable model."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lifecycle import record
from lifecycle.errors import PlaceError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from lifecycle.place import Place
    from lifecycle.record import Record

ACTION = "canary"
OWN = ("percent", "shadow", "since")
"""What published.json says of a canary and of no other model."""


class There(Protocol):
    """What must be known of a place: lifecycle.timeline.Timeline."""

    @property
    def current(self) -> Record | None: ...
    @property
    def swapped(self) -> bool: ...
    @property
    def canary(self) -> Record | None: ...


@dataclass(frozen=True, slots=True)
class Share:
    """What a canary gets: so many percent of the callers, or as a shadow of the requests."""

    percent: int
    shadow: bool = False

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
    return Share(options.canary, options.shadow)


def told(share: Share | None) -> dict[str, Any]:
    """What `--json` tells of it."""
    return {} if share is None else {"canary": {"percent": share.percent, "shadow": share.shadow}}


def undo(place: Place) -> str:
    """How to end a canary."""
    return f"scripts/models canary {place.url} abort"


def begun(current: Record, candidate: Mapping[str, Any], share: Share) -> dict[str, Any]:
    """What serves, with the candidate as its canary."""
    since = max(int(time.time()), live_since(current) + 1)  # TensorFlow Serving's number: greater, and never the same
    shadow = {"shadow": True} if share.shadow else {}
    return {**ended(current), "canary": {**candidate, "percent": share.percent, **shadow, "since": since}}


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
    document = {name: value for name, value in current.document.items() if name != "canary"}
    return {**document, "action": ACTION, "live_since": live_since(current)}


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


def live_since(found: Record) -> int:
    """When the stable model went live, in seconds since the epoch: writing for a canary does not change that."""
    said = found.document.get("live_since")
    return said if isinstance(said, int) else int(found.written)
