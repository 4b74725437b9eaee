"""Load what S3 holds at PLACE as the function would, and check it: digests, labels, both engines against each other.

With --against, a folder with a folder of pictures for each label, also how good it is: accuracy, confusion and
calibration by both engines, and whether another pipeline of pixels does better than the published one: then the model
was trained through that one. The verdict is kept beside the model, for `promote` and `show`, unless --dry-run is given.

With --calibrate, it also fits a temperature, so that a score of 0.8 is right four times in five, and a threshold, from
which on replies say that they are sure, and publishes both as a new version of the model (docs/operate/calibration.md).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import Snapshot
from classifier.errors import ClassifierError, ModelError
from lifecycle import calibrating, record
from lifecycle.calibration import scores
from lifecycle.console import Console, table
from lifecycle.errors import ModelsError, PlaceError, UsageError
from lifecycle.label_order import other_order
from lifecycle.labelled import answered, known, labelled
from lifecycle.labels import without_numbers
from lifecycle.marks import write_mark
from lifecycle.place import find_place
from lifecycle.scoring import faults, judge, share
from lifecycle.serving_options import written_out
from lifecycle.timeline import LOOK_S, Timeline, read_timeline

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from classifier.bundles.serving import Serving
    from classifier.engines.engine import Engine
    from lifecycle.calibration import Calibration
    from lifecycle.evidence import Evidence
    from lifecycle.scoring import Quality

    type Raw = dict[str, list[Sequence[float]]]

READ_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One version, loaded by each engine that can serve it."""

    version: str
    serving: Serving
    engines: dict[str, Engine]
    problems: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", nargs="?", metavar="PLACE", help="s3://bucket/prefix or a stage")
    parser.add_argument("--version", metavar="VERSION", help="a version of `list`; by default the one that serves")
    parser.add_argument("--against", type=Path, metavar="DIR", help="pictures, in a folder for each label")
    parser.add_argument(
        "--min-accuracy", type=share, metavar="SHARE", help="least share of right answers to pass: 0.9 or 90%%"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="where the picture goes (verify.svg)")
    calibrating.add_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="write nothing to S3: no verdict, no new version")


def run(options: argparse.Namespace, console: Console) -> int:
    """Verify; 1 if something is wrong."""
    if options.min_accuracy is not None and not options.against:
        raise UsageError("--min-accuracy needs pictures whose labels are known: give --against DIR")
    calibrating.check(options)
    place = find_place(options.place)
    timeline = read_timeline(place)
    console.progress("reading the model and loading it with both engines")
    served = load_served(timeline, timeline.named(options.version).snapshot(place.prefix) if options.version else None)
    agreement = _compare(served)
    pictures = _pictures(options.against, served.serving) if options.against else []
    raw, kept = answered(served.engines, served.serving, [path for path, _ in pictures], console)
    classes = [pictures[index][1] for index in kept]
    if pictures and not classes:
        raise UsageError("none of the pictures can be read")
    head = served.serving.heads[0]
    qualities = {name: judge(scores(head, rows), classes) for name, rows in raw.items() if classes}
    for quality in list(qualities.values())[-1:]:  # the engine that serves
        served.problems.extend(faults(quality, served.serving.labels, options.min_accuracy))
    evidence = _pipeline(served, pictures, console) if pictures else None
    fitted, refused = _fitted(options, served, raw, classes, console) if options.calibrate else (None, "")
    drawn = _draw(options, served, qualities, fitted)
    verdict = _verdict(served, qualities, evidence) | agreement
    if not options.dry_run:
        write_mark(place, served.version, verdict)
    details = {name: quality.as_dict(served.serving.labels) for name, quality in qualities.items()}
    document = {"place": place.url, "version": served.version, **verdict, "quality": details, "picture": drawn}
    document |= {"evidence": evidence.as_dict()} if evidence else {}
    told = evidence.verdict(served.serving.preprocessing) if evidence else []
    if evidence and (order := other_order([each.quality for each in evidence.tried], served.serving.labels)):
        told.append(f"Labels   {order}")
    lines = _lines(served, agreement, qualities, drawn, told)
    if fitted:
        document["calibration"], lines = fitted.as_dict(), [*lines, *fitted.lines()]
    if fitted and verdict["passed"] and not options.dry_run:
        version, more, last = calibrating.publish(place, timeline, served.serving, fitted, console)
        write_mark(place, version, verdict)
        document, lines = {**document, **more}, [*lines, *last]
    if refused:
        document["refused"], lines = refused, [*lines, f"Refused  {refused}"]
    console.result(document, lines)
    return 0 if verdict["passed"] and not refused else 1


def _fitted(
    options: argparse.Namespace, served: Served, raw: Raw, classes: list[int], console: Console
) -> tuple[Calibration | None, str]:
    """What was fitted; or nothing, and why."""
    try:
        found = calibrating.fit(options, served.serving, served.engines, raw, classes, console)
    except UsageError:
        raise
    except ModelsError as error:
        return None, str(error)
    again = replace(served, serving=calibrating.calibrated(served.serving, found), problems=[])
    _compare(again)
    return (None, f"at this temperature {again.problems[0]}") if again.problems else (found, "")


def _verdict(served: Served, qualities: dict[str, Quality], evidence: Evidence | None) -> dict[str, Any]:
    """What is kept beside the model."""
    verdict = {"passed": not served.problems, "problems": served.problems, "checked": record.now()}
    if qualities:
        verdict["accuracy"] = {name: quality.accuracy for name, quality in qualities.items()}
        verdict["pictures"] = next(iter(qualities.values())).pictures
    if evidence:
        verdict["pipeline"] = {"published_is_best": evidence.better_than(served.serving.preprocessing) is None}
    return verdict


def load_served(timeline: Timeline, snapshot: Snapshot | None) -> Served:
    """What serves, or the given snapshot, by every engine that can; PlaceError if there is nothing there."""
    from classifier.engines.keras_engine import open_keras

    newest = snapshot or timeline.view.newest
    if not isinstance(newest, Snapshot):
        raise PlaceError(
            "there is no whole bundle" if newest is None else "objects were swapped moments ago; try again"
        )
    bundle = timeline.store.bundles.read(newest, time.monotonic() + READ_S)
    engines: dict[str, Engine] = {}
    problems: list[str] = []
    fast = _open_compiled(timeline, newest, problems)
    try:
        reference = open_keras(bundle)
        engines["tensorflow"], serving = reference.engine, reference.serving
    except ModelError:
        if fast is None or not _is_compiled_only(bundle.parts["architecture"]):
            raise
        serving = fast[1]
    if fast is not None:
        engines["litert"] = fast[0]
        if written_out(fast[1]) != written_out(serving):
            problems.append("the compiled form has other labels or preprocessing than serving.json")
    return Served(version=bundle.fingerprint, serving=serving, engines=engines, problems=problems)


def _is_compiled_only(architecture: bytes) -> bool:
    return b'"compiled_only"' in architecture


def _open_compiled(timeline: Timeline, snapshot: Snapshot, problems: list[str]) -> tuple[Engine, Serving] | None:
    """The fast engine, where the report says that it may serve; what speaks against it becomes a problem."""
    from classifier.engines.litert_engine import open_litert

    deadline = time.monotonic() + READ_S
    report = timeline.store.compiled.report_for(snapshot, timeline.view.reports, time.monotonic() + LOOK_S)
    if report is None or not report.usable:
        return None
    try:
        loaded = open_litert(timeline.store.compiled.compiled_model(report, deadline), report)
    except ClassifierError as error:
        problems.append(f"the compiled form can't be used: {error}")
        return None
    return loaded.engine, loaded.serving


def _compare(served: Served) -> dict[str, Any]:
    """Largest difference of the engines' scores on the probes; more than invariant 4 allows is a problem."""
    import numpy as np

    from classifier.bundles.compiled import LARGEST_DIFFERENCE
    from classifier.compiling.agreement import compared
    from classifier.engines.output_kind import contradictions
    from classifier.engines.probes import answers, names, probe_arrays

    probes = probe_arrays(served.serving.preprocessing, [])
    rows = [answers(engine.predict, probes) for engine in served.engines.values()]
    if not any(np.isfinite(found).all(1).any() for found in rows):
        served.problems.append("scores are not finite numbers")
    served.problems.extend(contradictions(served.serving.heads, rows[0]))
    difference = None
    if len(rows) > 1:
        agreement = compared(served.serving, rows[1], rows[0], names(len(probes)))
        difference = agreement.largest_difference
        if why := agreement.refusal("TensorFlow's", LARGEST_DIFFERENCE):
            served.problems.append(why)
    return {"engines": list(served.engines), "largest_difference": difference, "probes": len(probes)}


def _pictures(folder: Path, serving: Serving) -> list[tuple[Path, int]]:
    indices = {label: index for index, label in enumerate(serving.labels)}
    indices |= {label: index for index, label in enumerate(without_numbers(serving.labels)) if label not in indices}
    return labelled(folder, indices)


def _pipeline(served: Served, pictures: list[tuple[Path, int]], console: Console) -> Evidence:
    """Whether the published pipeline is the one that the model was trained through, as far as pictures say."""
    from lifecycle.evidence import SOME, weigh

    preprocessing, engine = served.serving.preprocessing, list(served.engines.values())[-1]
    readable = known(pictures, preprocessing)

    def scores(array: Any) -> Sequence[float]:  # noqa: ANN401 - a model's input
        return served.serving.first_scores(engine.predict(array))

    return weigh(preprocessing, scores, readable, console.progress, SOME)


def _draw(
    options: argparse.Namespace, served: Served, qualities: dict[str, Quality], fitted: Calibration | None
) -> str | None:
    from lifecycle.chart import draw

    if not qualities:
        return None
    path = options.picture or Path("verify.svg")
    name = "litert" if "litert" in qualities else "tensorflow"
    path.write_text(draw(f"{served.version}, {name}", served.serving.labels, qualities[name], fitted), "utf-8")
    return str(path)


def _lines(
    served: Served, agreement: dict[str, Any], qualities: dict[str, Quality], drawn: str | None, told: list[str]
) -> list[str]:
    difference = agreement["largest_difference"]
    apart = "" if difference is None else f", largest difference {difference:.1e} on {agreement['probes']} probes"
    lines = [
        f"Model    {served.version}, {len(served.serving.labels)} labels",
        f"Engines  {', '.join(served.engines)}{apart}",
    ]
    for name, quality in qualities.items():
        error = f"calibration error {quality.calibration_error:.3f}"
        lines.append(f"Quality  {name}: {quality.accuracy:.1%} of {quality.pictures} right, {error}")
    if qualities:
        quality = next(reversed(qualities.values()))
        rows = [("true class", *served.serving.labels)]
        rows += [(label, *map(str, row)) for label, row in zip(served.serving.labels, quality.confusion, strict=True)]
        bins = [
            (f"{b.low:.2f}-{b.high:.2f}", b.pictures, f"{b.confidence:.3f}", f"{b.accuracy:.3f}") for b in quality.bins
        ]
        lines += ["", *table(rows), "", *table([("best score", "pictures", "mean score", "right"), *bins]), ""]
        lines.append(f"Picture  {drawn}")
    return [
        *lines,
        *told,
        *(f"Problem  {text}" for text in served.problems),
        f"Verdict  {'failed' if served.problems else 'passed'}",
    ]
