"""`publish --against`: the pipeline that a model is published with, found out by pictures whose labels are known."""

from __future__ import annotations

import json
from copy import replace
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING, Any

from lifecycle.errors import ModelsError, UsageError
from lifecycle.input_range import one_label_for_all
from lifecycle.label_order import other_order
from lifecycle.labelled import known, labelled
from lifecycle.preparing import ALL_THE_SAME, NUMBERS, keras_engine
from lifecycle.scoring import faults

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from classifier.bundles.serving import Serving
    from classifier.engines.keras_engine import TracedModel
    from classifier.pictures.preprocessing import Preprocessing
    from lifecycle.console import Console
    from lifecycle.evidence import Evidence, Tried

DECIDING = NUMBERS | {"pixels", "filter", "resize", "antialias", "resize_to"}


def pipeline_of(
    folder: Path | None, asked: bytes, model: TracedModel, console: Console, *, yes: bool = False
) -> tuple[TracedModel, dict[str, Any]]:
    """The model with the pipeline that it is to be served with, and what published.json keeps of the evidence.

    What was asked for stays, with a warning where another pipeline fits better. UsageError where nothing was asked for
    and the pictures can't decide; ModelsError where the model is no better than guessing, without `yes`.
    """
    if folder is None:
        return model, {}
    from lifecycle.batch_moments import batch_moments
    from lifecycle.evidence import MANY, weigh

    serving, engine = model.serving, keras_engine(model.call)
    pictures = labelled(folder, {label: index for index, label in enumerate(serving.labels)})

    def scores(array: Any) -> Sequence[float]:  # noqa: ANN401 - a model's input
        return serving.first_scores(engine.predict(array))

    readable = known(pictures, serving.preprocessing)
    evidence = weigh(serving.preprocessing, scores, readable, console.progress, MANY, batch_moments(model))
    wanted = serving.preprocessing if decides(asked) else None
    for line in evidence.lines(wanted):
        console.progress(line)
    order = other_order([each.quality for each in evidence.tried], serving.labels)
    if wanted is None:
        serving = replace(serving, preprocessing=_decided(evidence, len(readable), order))
    else:
        _check_asked(evidence, serving, order, console, yes=yes)
    if order and evidence.tells:
        console.warn(order)
    _warn_of_one_label(evidence, serving, console)
    return with_fields(model, serving=serving), {"pipeline": _kept(evidence, wanted)}


def _check_asked(evidence: Evidence, serving: Serving, order: str, console: Console, *, yes: bool) -> None:
    """Warn where another pipeline fits better than the one asked for; where none fits, refuse without `yes`."""
    given, better = evidence.of(serving.preprocessing), evidence.better_than(serving.preprocessing)
    if better and given:
        console.warn(
            f"what was asked for is not what fits best: {given.quality.accuracy:.1%} of the pictures are right with it "
            f"({given.pipeline.name}), and {better.quality.accuracy:.1%} with {better.pipeline.name}"
        )
    if evidence.tells:
        return
    doubt = _no_better(evidence) + (f": {order}" if order else f". {_ASK}")
    if faults(evidence.best.quality, serving.labels, None) and not yes:
        raise ModelsError(f"refused: {doubt}. {ALL_THE_SAME}")
    console.warn(doubt)


_ASK = "Are the labels in the model's order, and the folders named by them?"


def _no_better(evidence: Evidence) -> str:
    best = evidence.best.quality
    right = f"{best.accuracy:.1%} of {best.pictures} pictures right"
    return f"by no pipeline is the model better than guessing ({right})"


def decides(asked: bytes) -> bool:
    """Whether serving.json, as it was asked for, says which pipeline it is."""
    return bool(DECIDING & set(json.loads(asked).get("preprocessing", {})))


def _warn_of_one_label(evidence: Evidence, serving: Serving, console: Console) -> None:
    """Say so where the pictures, of several labels, all get one by the pipeline that is published."""
    tried = evidence.of(serving.preprocessing)
    if tried is None or serving.output == "regression":
        return
    confusion = tried.quality.confusion
    named = {label: sum(row[index] for row in confusion) for index, label in enumerate(serving.labels)}
    counts = {label: count for label, count in named.items() if count}
    if sum(map(any, confusion)) > 1 and (doubt := one_label_for_all(counts)):
        console.warn(doubt)


def _decided(evidence: Evidence, pictures: int, order: str) -> Any:  # noqa: ANN401 - a Preprocessing
    if evidence.clear:
        return evidence.best.pipeline.preprocessing
    if not evidence.tells:
        why = f"But {order}" if order else f"{_ASK} Otherwise say which it was by --trained-with"
        raise UsageError(f"{_no_better(evidence)}, so none can be told. {why}")
    names = "\n".join(f"  {each.pipeline.name}" for each in (evidence.best, *evidence.rivals))
    raise UsageError(
        f"{pictures} pictures can't decide between these pipelines; give more of them, or say which it was, by "
        f"--trained-with or by the preprocessing of --serving:\n{names}"
    )


def _kept(evidence: Evidence, wanted: Preprocessing | None) -> dict[str, Any]:
    best = evidence.best
    taken = (evidence.of(wanted) if wanted else None) or best
    return {
        "best": best.pipeline.name,
        "clear": evidence.clear,
        "accuracy": best.quality.accuracy,
        "taken": taken.pipeline.name,
        "why": _why(evidence, taken, wanted),
    }


def _why(evidence: Evidence, taken: Tried, wanted: Preprocessing | None) -> str:
    """Why this pipeline was taken, as the result tells it."""
    right = f"{taken.quality.accuracy:.1%} of {taken.quality.pictures} pictures right"
    if wanted is None:
        return f"found with --against, {right}"
    if not evidence.tells:
        return f"asked for; with none of those tried is the model better than guessing, {right}"
    if better := evidence.better_than(wanted):
        return f"asked for, {right}, though with {better.pipeline.name} {better.quality.accuracy:.1%} are"
    return f"asked for, and none fits the pictures of --against better, {right}"
