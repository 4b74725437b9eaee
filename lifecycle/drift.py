"""Whether what people send is still what the model was published for: `drift PLACE --captures s3://IMAGE-BUCKET`.

Pictures that the service kept by chance (`capture=0.01`), and that the version at PLACE answered, are held against
reference.json, which `publish --against` or `--sample` recorded: shares of labels, scores, brightness, size, aspect,
and where they were recorded the features of the model's last but one layer, which Keras computes here once more.
It says what moved by more than chance, and draws it. Code 1 means that something moved. `--record` takes what was kept
as the reference from now on instead, when the pictures of publishing were none of the traffic's kind.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.errors import ClassifierError
from classifier.phases import Phases
from lifecycle import record
from lifecycle.errors import PlaceError, UsageError
from lifecycle.place import find_place
from lifecycle.timeline import BY_HAND, read_timeline
from lifecycle.traffic.kept import find_captures, list_kept, read_kept, since
from lifecycle.traffic.measures import LIMITS, Measured, measure
from lifecycle.traffic.reference import Reference, read_reference, write_reference

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from lifecycle.console import Console
    from lifecycle.place import Place
    from lifecycle.traffic.features import Row
    from lifecycle.traffic.kept import Kept

    type OfPicture = Callable[[bytes, int], Row]

MOST_READ = 2_000
READ_S = 600.0
LEAST = 30
"""Fewer pictures than this say nothing that chance could not."""
NO_FEATURES = (
    "          the model's features were not recorded, so they are not compared; --record keeps them from now on"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", nargs="?", metavar="PLACE", help="s3://bucket/prefix of the model, or a stage")
    parser.add_argument("--captures", metavar="BUCKET", help="s3://IMAGE-BUCKET; by default IMAGE_BUCKET's")
    parser.add_argument("--version", metavar="VERSION", help="a version of `list`; by default the one that serves")
    parser.add_argument("--since", type=since, metavar="DAY", help="leave out what is older, such as 2026-11-29")
    parser.add_argument("--most", type=int, default=MOST_READ, metavar="N", help="pictures that are read, drawn of all")
    parser.add_argument("--record", action="store_true", help="make what was kept the reference")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="where the picture goes (drift.svg)")
    parser.add_argument("--dry-run", action="store_true", help="with --record: don't write it")


def run(options: argparse.Namespace, console: Console) -> int:
    """Compare, or record."""
    place, captures = find_place(options.place), find_captures(options.captures)
    version = _version(place, options.version)
    reference = None if options.record else read_reference(place, version)
    if reference is None and not options.record:
        raise UsageError(
            f"nothing was recorded of {version} when it was published: publish with --against or --sample, or take "
            "what was kept until now as the reference, with --record"
        )
    wanted = reference is None or bool(reference.measured.features)
    features = _features(place, version, console) if wanted else None
    now, others = _measured(captures, version, features, options, console)
    if reference is None:
        return _record(place, version, now, console, dry_run=options.dry_run)
    return _compare(options, (place, version), reference, now, others, console)


def _version(place: Place, asked: str | None) -> str:
    timeline = read_timeline(place)
    version = timeline.named(asked).version if asked else timeline.serving
    if version is None or version == BY_HAND:
        raise PlaceError(f"{place.url} serves {version or 'nothing'}: only a published version has a reference")
    return version


def _features(place: Place, version: str, console: Console) -> OfPicture | None:
    """What gives the features of a picture's bytes, where the published model is Keras's; a warning where it isn't."""
    from classifier.engines.keras_engine import load
    from lifecycle.labelled import model_input
    from lifecycle.traffic.features import features_of

    timeline = read_timeline(place)
    console.progress("loading the model by Keras, for the features of its last but one layer")
    try:
        bundle = timeline.store.bundles.read(timeline.named(version).snapshot(place.prefix), time.monotonic() + READ_S)
        model = load(bundle, Phases())
        features = features_of(bundle, model)
    except ClassifierError as error:
        console.warn(f"features are not compared: {error}")
        return None
    if features is None:
        console.warn("features are not compared: there is no single layer before the model's last one")
        return None
    preprocessing = model.serving.preprocessing
    return lambda data, orientation: features(model_input(data, preprocessing, LIMITS, orientation))


def _measured(
    captures: Place, version: str, features: OfPicture | None, options: argparse.Namespace, console: Console
) -> tuple[Measured, int]:
    """What was kept of the version by chance, and how many pictures others answered."""
    listed = list_kept(captures, options.since)
    wanted = listed.ids
    if len(wanted) > options.most:
        wanted = tuple(sorted(random.Random(0).sample(wanted, options.most)))  # noqa: S311 - the same ones each time
    console.progress(f"reading {len(wanted)} of {len(listed.ids)} pictures of {captures.url}")
    kept = [one for one in read_kept(captures, listed, wanted, console) if one.record["why"] == "drawn"]
    own = [one for one in kept if one.version == version]
    found = list(_rows(own, features, console))
    rows = [row for row, _ in found]
    if len(rows) < LEAST:
        unsure = len(wanted) - len(kept)
        raise PlaceError(
            f"{len(rows)} pictures of {version} were drawn by chance, and {LEAST} are needed to say anything"
            + (f"; {unsure} were kept for another reason: capture=0.01,unsure draws some as well" if unsure else "")
        )
    return Measured.of(rows, [each for _, each in found if each is not None]), len(kept) - len(own)


def _rows(
    kept: Iterable[Kept], features: OfPicture | None, console: Console
) -> Iterable[tuple[tuple[str, dict[str, float]], Row | None]]:
    for one in kept:
        orientation = one.record["image"].get("orientation", 1)
        orientation = orientation if isinstance(orientation, int) else 1
        try:
            numbers = measure(one.data, one.score, orientation)
            yield (one.predicted, numbers), features(one.data, orientation) if features else None
        except (ClassifierError, OSError) as error:
            console.warn(f"{one.request_id} is left out: {error}")


def _record(place: Place, version: str, now: Measured, console: Console, *, dry_run: bool) -> int:
    reference = Reference(measured=now, of="what was kept", recorded=record.now())
    if not dry_run:
        write_reference(place, version, reference)
    document = {"place": place.url, "version": version, "pictures": len(now.labels), "dry_run": dry_run}
    word = "Would record" if dry_run else "Recorded"
    console.result(document, [f"{word} {len(now.labels)} kept pictures as what {version} is compared with from now on"])
    return 0


def _compare(
    options: argparse.Namespace,
    of: tuple[Place, str],
    reference: Reference,
    now: Measured,
    others: int,
    console: Console,
) -> int:
    from lifecycle.traffic.comparison import compare
    from lifecycle.traffic.drawing import draw

    place, version = of
    if len(reference.measured.labels) < LEAST:
        console.warn(f"the reference is {len(reference.measured.labels)} pictures: of so few only large changes show")
    console.progress("comparing, by dealing the pictures anew some thousands of times")
    found = compare(reference.measured, now)
    counts = len(reference.measured.labels), len(now.labels)
    path = options.picture or Path("drift.svg")
    path.write_text(draw(f"{version}: {counts[0]} pictures then, {counts[1]} now", reference.measured, now, found))
    document: dict[str, Any] = {
        "place": place.url,
        "version": version,
        "reference": {"recorded": reference.recorded, "of": reference.of, "pictures": counts[0]},
        "pictures": counts[1],
        "of_other_versions": others,
        **found.as_dict(),
        "picture": str(path),
    }
    lines = [
        f"Model    {version}; {counts[1]} pictures kept by chance, {others} more of other versions left out",
        f"Against  {counts[0]} pictures of {reference.of}, recorded {reference.recorded}",
        *found.lines(),
        *([] if reference.measured.features else [NO_FEATURES]),
        f"Verdict  {_verdict([each.name for each in found.moved])}",
        f"Picture  {path}",
    ]
    console.result(document, lines)
    return 1 if found.moved else 0


def _verdict(moved: list[str]) -> str:
    if not moved:
        return "nothing moved by more than chance"
    return f"{', '.join(moved)} moved by more than chance: look at some of the pictures (`captured`) before you decide"
