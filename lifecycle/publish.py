"""Publish a model: convert, compare with its source, compile, upload, make it live.

SOURCE is a .keras file, an .h5 file of Keras 2 or 3, architecture JSON and weights (two files, one beside the other, or
a folder of them), an unpacked .keras archive, what Teachable Machine exports for Keras, a SavedModel's folder, a frozen
GraphDef, or a zip of one of these. What is served changes in one step at the very end; stopping before it changes
nothing.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.pictures.preprocessing import CHOICES
from lifecycle import containers, memory, published_serving, reading, serving_options, shares, source
from lifecycle.console import Console, megabytes
from lifecycle.errors import UsageError
from lifecycle.input_range import seen
from lifecycle.label_order import check_labels
from lifecycle.outputs import KINDS, output_facts
from lifecycle.pipeline_choice import decides, pipeline_of
from lifecycle.place import Place, find_place
from lifecycle.preparing import (
    Prepared,
    answers,
    check_input,
    compiled_facts,
    compiled_form,
    keras_engine,
    litert_engine,
    states_numbers,
    warn_of_one_label,
)
from lifecycle.release import Release, as_bundle, put_release
from lifecycle.timeline import read_timeline
from lifecycle.traffic.features import features_of
from lifecycle.traffic.reference import record_pictures, write_reference

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from lifecycle.serving_options import Sample
    from lifecycle.shares import Share
    from lifecycle.source import KerasSource
    from lifecycle.timeline import Timeline

NAME = "publish"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", nargs="+", type=Path, metavar="SOURCE", help="a model; JSON and weights are two")
    parser.add_argument("--to", metavar="PLACE", help="s3://bucket/prefix or a stage")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="one label a line, JSON or CSV")
    parser.add_argument("--preprocessing", metavar="SCALE", help=f"{', '.join(serving_options.SCALES)}, or a JSON file")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="where the model does not say it"
    )
    parser.add_argument(
        "--trained-with",
        nargs="+",
        metavar="CALL",
        help="the call that read the pictures in training, and its arguments",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="pictures, in a folder for each label: find out which pipeline it was",
    )
    parser.add_argument("--pixels", choices=CHOICES["pixels"], help="whose decoder and whose resize")
    parser.add_argument("--filter", choices=CHOICES["filter"], help="how pictures are resized")
    parser.add_argument("--resize", choices=CHOICES["resize"], help="what becomes of other proportions")
    parser.add_argument("--color", choices=CHOICES["color"], help="order of the channels")
    parser.add_argument("--scores", choices=KINDS, help="what the model's numbers are")
    parser.add_argument("--top-k", type=int, metavar="N", help="predictions in a reply")
    parser.add_argument("--serving", type=Path, metavar="FILE", help="a serving.json to begin with")
    parser.add_argument(
        "--sample", type=Path, nargs="+", default=[], metavar="IMAGES", help="pictures or folders to compare on"
    )
    parser.add_argument("--input", metavar="TENSOR", help="of a GraphDef")
    parser.add_argument(
        "--output",
        metavar="NAME",
        help="one of several outputs; a GraphDef's tensor; a SavedModel's signature[:result]",
    )
    parser.add_argument("--quantize", nargs="*", default=[], choices=("float16", "int8"), help="smaller forms too")
    shares.add_arguments(parser)
    parser.add_argument("--yes", action="store_true", help="publish although the pictures' numbers can't be right")
    parser.add_argument("--dry-run", action="store_true", help="convert and compare, but write nothing to S3")


def run(options: argparse.Namespace, console: Console) -> int:
    """Publish and say what came of it."""
    if len(options.source) > 2:
        raise UsageError("give one SOURCE, or architecture JSON and weights; labels go with --labels")
    place = find_place(options.to)
    timeline = read_timeline(place)
    share = shares.asked(options, place, timeline)
    prepared = prepare(options, place, console)
    _warn_of_what_was_not_said(prepared, options, timeline, place, console)
    needs = _check_memory(prepared.release, options.to, console)
    beside = _check_both(prepared.release, place, timeline, console) if share else None
    if not options.dry_run:
        if prepared.reference:
            write_reference(place, prepared.release.version, prepared.reference)
        put_release(place, prepared.release, timeline.current, console.progress, share)
    console.result(*_told(prepared, place, timeline, (needs, beside), share, live=not options.dry_run))
    return 0


def _warn_of_what_was_not_said(
    prepared: Prepared, options: argparse.Namespace, timeline: Timeline, place: Place, console: Console
) -> None:
    """Numbers for labels, and pictures made ready otherwise than for the model that serves: nobody asked for either."""
    serving = json.loads(prepared.release.files["serving.json"])
    labels = serving.get("labels", [])
    if len(labels) > 1 and not json.loads(prepared.asked).get("labels"):
        console.warn(f"no labels were given: replies will say 0 to {labels[-1]}. Give --labels FILE")
    if decides(prepared.asked) or options.against or timeline.current is None or timeline.swapped:
        return
    if text := published_serving.other_pixels(serving, published_serving.of(place, timeline.current)):
        console.warn(
            f"pictures will be made ready otherwise than for the model that serves: {text}. Nothing was said of it: "
            "if this model was trained as that one was, say the same --trained-with"
        )


def _check_both(release: Release, place: Place, timeline: Timeline, console: Console) -> memory.Beside:
    """The same for a canary and the model beside which it runs."""
    found = memory.needs_beside(timeline, len(release.files["model.weights.h5"]), release.report)
    console.progress(f"both models will need: {found}")
    found.refuse_what_cannot_fit(memory.deployed_mb(memory.stage_of(place)))
    return found


def _check_memory(release: Release, stage: str | None, console: Console) -> memory.Needs:
    """Say what memory the functions will need; ModelTooLargeError when those of the stage have too little."""
    assert release.report is not None
    weights = len(release.files["model.weights.h5"])
    needs = memory.needs_of(weights, release.report)
    console.progress(f"the functions will need: {needs}")
    memory.refuse_what_cannot_fit(weights, release.report, memory.deployed_mb(stage))
    return needs


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The verb's arguments, without `scripts/models publish` before them."""
    import argparse

    parser = argparse.ArgumentParser(NAME)
    add_arguments(parser)
    return parser.parse_args(arguments)


def prepare(options: argparse.Namespace, place: Place | None, console: Console) -> Prepared:
    """Everything that is done before S3 is written to, as far as `place` has not it already.

    ModelsError and ModelError refuse the model.
    """
    console.progress(f"reading {', '.join(str(path) for path in options.source)}")
    with ExitStack() as stack:
        files = containers.find(options.source, stack)
        if files.told:
            console.progress(files.told)
        if not options.labels and (files.labels or files.left):
            console.progress(f"labels from {files.labels.name}, which lies beside it" if files.labels else files.left)
        found = reading.read_source(files, options.input, options.output)
        samples = serving_options.read_samples(options.sample)
        if isinstance(found, source.KerasSource):
            asked = serving_options.wanted(options, files, options.output)
            check_labels(found.architecture, asked, options, console)
            return replace(_prepare_keras(found, asked, samples, options, place, console), asked=asked)
        if options.against:
            raise UsageError(
                "--against tries pipelines on a Keras model. Say --trained-with for a SavedModel or GraphDef, and "
                "check it with `verify --against`"
            )
        from lifecycle import graph_source

        asked = serving_options.wanted(options, files)
        check_labels(None, asked, options, console)
        made = graph_source.prepare(found, asked, samples, options.quantize, console, yes=options.yes)
        return replace(made, asked=asked)


def _prepare_keras(
    found: KerasSource,
    asked: bytes,
    samples: list[Sample],
    options: argparse.Namespace,
    place: Place | None,
    console: Console,
) -> Prepared:
    from lifecycle import faithful

    files = {"architecture.json": found.architecture, "model.weights.h5": found.weights, "serving.json": asked}
    pictures = [sample.data for sample in samples]
    with console.working("comparing the bundle, as the function loads it, with its source"):
        agreement, model, doubts = faithful.compare(found, as_bundle(files), pictures)
    for doubt in doubts:
        console.warn(doubt)
    model, evidence = pipeline_of(options.against, asked, model, console, yes=options.yes)
    files["serving.json"] = serving_options.written_out(model.serving)
    numbers = seen(model.serving.preprocessing, found.architecture, model)
    decided = bool(evidence) and not decides(asked)
    stated = decided or states_numbers(asked)
    check_input(model, numbers, stated=stated, decided=decided, yes=options.yes, console=console)
    release = Release(files=files, source=found.text)
    report, compiled = compiled_form(release, pictures, options.quantize, place, console)
    facts = {
        "action": NAME,
        "verified": True,
        "writer": f"Keras {found.writer}",
        "source_sha256": source.sha256_of(found.path),
        "labels": len(model.serving.labels),
        "outputs": [output_facts(head) for head in model.serving.heads],
        "input": str(numbers),
        "bytes": sum(len(data) for data in files.values()),
        "agreement": {"source": agreement.as_dict(), "compiled": compiled_facts(report)},
        "tools": dict(report.versions),
        **evidence,
    }
    engines = {"tensorflow": keras_engine(model.call)} | litert_engine(compiled)
    shown = [answers(sample, model.serving, engines) for sample in samples]
    warn_of_one_label(samples, shown, model.serving, console)
    served = list(engines.values())[-1]
    return Prepared(
        release=Release(files=files, source=found.text, facts=facts, report=report, compiled=compiled),
        samples=shown,
        reference=record_pictures(
            model.serving, served, samples, options.against, console, lambda: features_of(as_bundle(files), model)
        ),
    )


def _told(
    prepared: Prepared,
    place: Place,
    timeline: Timeline,
    needed: tuple[memory.Needs, memory.Beside | None],
    share: Share | None,
    *,
    live: bool,
) -> tuple[dict[str, Any], list[str]]:
    release, before, (needs, beside) = prepared.release, timeline.serving, needed
    undo = timeline.undo(place) if share is None else shares.undo(place)
    document = {
        "place": place.url,
        "version": release.version,
        "previous": before,
        "dry_run": not live,
        "source": release.source,
        **release.facts,
        "needs": needs.as_dict() | ({"both": beside.as_dict()} if beside else {}),
        "samples": prepared.samples,
        **shares.told(share),
        "undo": undo if live else None,
    }
    lines = [f"Model    {release.version}, {release.facts['labels']} labels, {megabytes(release.facts['bytes'])}"]
    lines += [f"Source   {release.source}", *output_lines(release.facts), *agreement_lines(release.facts)]
    lines += [f"Needs    {needs}", *([f"Both     {beside}"] if beside else [])]
    serving = json.loads(release.files["serving.json"])
    lines[1:1] = [line for line in published_serving.lines(serving) if not line.startswith("Output")]
    lines += [_sample_line(shown) for shown in prepared.samples]
    if not live:
        return document, [*lines, f"Nothing was written: without --dry-run this would go live at {place.url}"]
    where = f"in place of {before or 'nothing'}" if share is None else f"for {share}, beside {before}"
    lines.append(f"Live     {place.url} {where}, adopted at each function's next check")
    lines += shares.guard_lines(share.abort_on if share else ())
    return document, [*lines, f"Undo     {undo}"]


def output_lines(facts: Mapping[str, Any]) -> list[str]:
    """What numbers a model gets, what its own are, and how that is known."""
    found = facts.get("outputs", [])
    lines = [f"Output   {f'{one["name"]}: ' if one['name'] else ''}{one['output']} ({one['known']})" for one in found]
    if found := facts.get("pipeline"):
        lines.insert(0, f"Pipeline {found['taken']}: {found['why']}")
    return [f"Input    {facts['input']}", *lines] if "input" in facts else lines


def agreement_lines(facts: dict[str, Any] | Any) -> list[str]:  # noqa: ANN401 - a document's part
    """The measured agreement as text."""
    given, compiled = facts["agreement"]["source"], facts["agreement"]["compiled"]
    if given["largest_difference"] is None:
        text = f"{given['arrays']} arrays are the file's, bit by bit; loaded with {given['by']}"
    else:
        pictures = f"{given['probes']} probes and {given['samples']} samples"
        text = f"largest difference from {given['by']} {given['largest_difference']:.1e} on {pictures}"
        if left_out := given.get("left_out"):
            text += f", without {', '.join(left_out)}: there the model itself gives no numbers"
    fast = (
        f"LiteRT serves it; largest difference from TensorFlow {compiled['largest_difference']:.1e}"
        if compiled["usable"]
        else f"none: {compiled['reason']}"
    )
    return [f"Faithful {text}", f"Compiled {fast}"]


def _sample_line(shown: dict[str, Any]) -> str:
    engines = {name: found[0] for name, found in shown.items() if name != "sample"}
    best = [f"{name} {found['label']} ({found['score']:.5f})" for name, found in engines.items()]
    return f"Sample   {shown['sample']}: {', '.join(best)}"
