"""`publish --against`: the pipeline that a model is published with, found out by pictures whose labels are known."""

from __future__ import annotations

import json
from copy import replace
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING, Any

from lifecycle.errors import UsageError
from lifecycle.input_range import one_label_for_all
from lifecycle.labelled import known, labelled
from lifecycle.preparing import NUMBERS, keras_engine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from classifier.bundles.serving import Serving
    from classifier.engines.keras_engine import TracedModel
    from lifecycle.console import Console
    from lifecycle.evidence import Evidence

DECIDING = NUMBERS | {"pixels", "filter", "resize", "antialias", "resize_to"}


def pipeline_of(
    folder: Path | None, asked: bytes, model: TracedModel, console: Console
) -> tuple[TracedModel, dict[str, Any]]:
    """The model with the pipeline that it is to be served with, and what published.json keeps of the evidence.

    What was asked for stays, with a warning where another pipeline fits better. UsageError where nothing was asked for
    and the pictures can't decide.
    """
    if folder is None:
        return model, {}
    from lifecycle.evidence import weigh

    serving, engine = model.serving, keras_engine(model.call)
    pictures = labelled(folder, {label: index for index, label in enumerate(serving.labels)})

    def scores(array: Any) -> Sequence[float]:  # noqa: ANN401 - a model's input
        return serving.first_scores(engine.predict(array))

    readable = known(pictures, serving.preprocessing)
    evidence = weigh(serving.preprocessing, scores, readable, console.progress)
    for line in evidence.lines():
        console.progress(line)
    if not decides(asked):
        serving = replace(serving, preprocessing=_decided(evidence, len(readable)))
        console.progress(f"taken for trained with: {evidence.best.pipeline.name}")
    elif better := evidence.better_than(serving.preprocessing):
        console.warn(f"what was asked for is not what fits best: that is {better.pipeline.name}")
    _warn_of_one_label(evidence, serving, console)
    return with_fields(model, serving=serving), {"pipeline": _kept(evidence)}


def decides(asked: bytes) -> bool:
    """Whether serving.json, as it was asked for, says which pipeline it is."""
    return bool(DECIDING & set(json.loads(asked).get("preprocessing", {})))


def _warn_of_one_label(evidence: Evidence, serving: Serving, console: Console) -> None:
    """Say so where the pictures, of several labels, all get one by the pipeline that is published."""
    tried = [each for each in evidence.tried if each.pipeline.preprocessing == serving.preprocessing]
    if not tried or serving.output == "regression":
        return
    confusion = tried[0].quality.confusion
    named = {label: sum(row[index] for row in confusion) for index, label in enumerate(serving.labels)}
    counts = {label: count for label, count in named.items() if count}
    if sum(map(any, confusion)) > 1 and (doubt := one_label_for_all(counts)):
        console.warn(doubt)


def _decided(evidence: Evidence, pictures: int) -> Any:  # noqa: ANN401 - a Preprocessing
    if evidence.clear:
        return evidence.best.pipeline.preprocessing
    if not evidence.tells:
        right = f"{evidence.best.quality.accuracy:.1%} of {pictures} pictures right"
        raise UsageError(
            f"by no pipeline is the model better than guessing ({right}), so none can be told: are labels in order, "
            "and the folders named by them? Otherwise say which it was by --trained-with"
        )
    names = "\n".join(f"  {each.pipeline.name}" for each in (evidence.best, *evidence.rivals))
    raise UsageError(
        f"{pictures} pictures can't decide between these pipelines; give more of them, or say which it was, by "
        f"--trained-with or by the preprocessing of --serving:\n{names}"
    )


def _kept(evidence: Evidence) -> dict[str, Any]:
    best = evidence.best
    return {"best": best.pipeline.name, "clear": evidence.clear, "accuracy": best.quality.accuracy}
