"""`verify --calibrate`: its options, the pictures of nothing known, and going live with what was fitted."""

from __future__ import annotations

from copy import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.calibration import Calibration, Wish, calibrate
from lifecycle.errors import UsageError
from lifecycle.labelled import answered
from lifecycle.republish import republish
from lifecycle.scoring import ENOUGH_TO_TELL, share
from lifecycle.serving_options import PICTURE_SUFFIXES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from classifier.bundles.serving import Serving
    from classifier.engines.engine import Engine
    from lifecycle.console import Console
    from lifecycle.place import Place
    from lifecycle.timeline import Timeline

ACTION = "calibrate"
SURE_RIGHT, FOREIGN_PASS = 0.95, 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--calibrate", action="store_true", help="fit temperature and threshold, and publish them")
    parser.add_argument("--foreign", type=Path, metavar="DIR", help="pictures of nothing that the model knows")
    parser.add_argument(
        "--sure-right", type=share, metavar="SHARE", help="least share of right answers among the sure (95%%)"
    )
    parser.add_argument(
        "--foreign-pass", type=share, metavar="SHARE", help="most of the foreign pictures among the sure (10%%)"
    )


def check(options: argparse.Namespace) -> None:
    """UsageError where options don't go together."""
    if not options.calibrate:
        if given := [name for name in ("foreign", "sure_right", "foreign_pass") if getattr(options, name) is not None]:
            raise UsageError(f"--{given[0].replace('_', '-')} goes with --calibrate")
        return
    if not options.against:
        raise UsageError("--calibrate needs pictures whose labels are known: give --against DIR")
    if options.version:
        raise UsageError("--calibrate is for the model that serves: leave --version out, or roll back to it first")
    if options.foreign_pass is not None and not options.foreign:
        raise UsageError("--foreign-pass needs pictures of nothing that the model knows: give --foreign DIR")


def fit(
    options: argparse.Namespace,
    serving: Serving,
    engines: Mapping[str, Engine],
    raw: Mapping[str, Sequence[Sequence[float]]],
    classes: Sequence[int],
    console: Console,
) -> Calibration:
    """Fit the first output to its numbers for pictures of these classes, by the engine that serves.

    UsageError for a model, or for pictures, that can't be calibrated; ModelsError where they show nothing.
    """
    head = serving.heads[0]
    if head.output == "regression":
        raise UsageError("a regression's numbers are no probabilities: there is nothing to calibrate")
    if len(classes) < ENOUGH_TO_TELL:
        raise UsageError(f"--calibrate needs {ENOUGH_TO_TELL} pictures at least, better some hundred: {len(classes)}")
    name = list(engines)[-1]
    foreign = _foreign(options.foreign, serving, {name: engines[name]}, console)[name] if options.foreign else []
    wish = Wish(
        SURE_RIGHT if options.sure_right is None else options.sure_right,
        FOREIGN_PASS if options.foreign_pass is None else options.foreign_pass,
    )
    console.progress("fitting temperature and threshold")
    found = calibrate(head, raw[name], classes, foreign, wish)
    if found.head.temperature is None:
        console.warn("every picture is right, so they show no temperature; scores stay as they are")
    elif found.after.calibration_error >= found.before.calibration_error:
        console.warn("the temperature does not lower the calibration error on other pictures")
    return found


def _foreign(
    folder: Path, serving: Serving, engines: Mapping[str, Engine], console: Console
) -> dict[str, list[Sequence[float]]]:
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURE_SUFFIXES]
    raw, kept = answered(engines, serving, paths, console)
    if len(kept) < ENOUGH_TO_TELL:
        raise UsageError(
            f"{folder}: {len(kept)} pictures that can be read; {ENOUGH_TO_TELL} at least can tell anything"
        )
    return raw


def calibrated(serving: Serving, found: Calibration) -> Serving:
    """The model as it is served with what was fitted."""
    return replace(serving, heads=(found.head, *serving.heads[1:]))


def publish(
    place: Place, timeline: Timeline, serving: Serving, found: Calibration, console: Console
) -> tuple[str, dict[str, Any], list[str]]:
    """Make it live; the new version, and what to tell."""
    told = found.as_dict()
    version = republish(place, timeline, calibrated(serving, found), ACTION, {"calibration": told}, console)
    undo = timeline.undo(place)
    lines = [
        f"Live     {version} at {place.url} in place of {timeline.serving}, adopted at each function's next check",
        f"Undo     {undo}",
    ]
    return version, {"published": version, "undo": undo}, lines
