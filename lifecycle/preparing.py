"""What publishing makes of any source before S3 is written to: a release that was checked, and what samples give."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lifecycle.errors import ModelsError
from lifecycle.input_range import all_sure, one_label_for_all
from lifecycle.release import Release, as_bundle, usable_report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from classifier.bundles.compiled import Report
    from classifier.bundles.serving import Serving
    from classifier.engines.engine import Engine
    from classifier.engines.keras_engine import TracedModel
    from lifecycle.console import Console
    from lifecycle.input_range import Seen
    from lifecycle.place import Place
    from lifecycle.serving_options import Sample
    from lifecycle.traffic.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A release that was checked, and what each sample picture gives."""

    release: Release
    samples: list[dict[str, Any]] = field(default_factory=list)
    reference: Reference | None = None
    """What the pictures that were given, and the answers to them, are like."""
    asked: bytes = b"{}"
    """serving.json as it was asked for, before defaults were written out."""


def compiled_facts(report: Report) -> dict[str, Any]:
    """What published.json tells of a compiled form."""
    compared = report.measured.get("float32", {})
    return {
        "usable": report.usable,
        "reason": report.reason,
        "largest_difference": compared.get("largest_difference"),
        "bytes": report.model_bytes,
    }


def compiled_form(
    release: Release, pictures: list[bytes], quantize: list[str], place: Place | None, console: Console
) -> tuple[Report, dict[str, bytes]]:
    """The compiled form and its report: what S3 has for this very model, or a new one."""
    from classifier.compiling.compile_job import FORM_FILES
    from classifier.compiling.compiler import compile_bundle

    known = usable_report(place, release.version) if place else None
    if known is not None:
        console.progress("its compiled form is in S3 already")
        return known, {}
    console.progress("compiling the fast path and comparing it with Keras")
    report, forms = compile_bundle(as_bundle(release.files), pictures, quantize)
    if not report.usable:
        console.warn(f"TensorFlow will serve this model, not LiteRT: {report.reason}")
    return report, {FORM_FILES[form]: data for form, data in forms.items()}


def keras_engine(call: Any) -> Engine:  # noqa: ANN401 - a traced function
    """TensorFlow's engine for a model that is loaded already."""
    from classifier.engines.keras_engine import KerasEngine

    return KerasEngine(call)


def litert_engine(compiled: dict[str, bytes]) -> dict[str, Engine]:
    """LiteRT's engine by its name, none if nothing was compiled."""
    from classifier.bundles.compiled import MODEL
    from classifier.engines.litert_engine import LiteRtEngine, thread_count

    return {"litert": LiteRtEngine(compiled[MODEL], thread_count())} if MODEL in compiled else {}


def answers(sample: Sample, serving: Serving, engines: dict[str, Engine]) -> dict[str, Any]:
    """What each engine says of one picture."""
    from classifier.pictures.decode import decode
    from classifier.pictures.headers.inspection import inspect
    from classifier.pictures.headers.picture import ImageLimits

    limits = ImageLimits()
    decoded = decode(inspect(sample.data, limits), serving.preprocessing, limits)
    array = serving.preprocessing.to_array(decoded.pixels)
    return {"sample": sample.name} | {
        name: serving.predictions(engine.predict(array)) for name, engine in engines.items()
    }


NUMBERS = frozenset(("scale", "mean", "std", "standardize"))
ALL_THE_SAME = "--yes publishes it all the same"


def check_input(model: TracedModel, numbers: Seen, *, stated: bool, decided: bool, yes: bool, console: Console) -> None:
    """Warn where the numbers that a model gets are in doubt; ModelsError where they can't be right, without `yes`.

    They can't where layers inside contradict the pipeline, or where nobody has said that pixels stay as they are, and
    the model is sure of whatever it is shown. `stated`: somebody said what training did to the pictures' numbers;
    `decided`: pictures whose labels are known did.
    """
    doubt = numbers.doubt(model.serving.preprocessing, stated=stated)
    saturated = numbers.unscaled and not stated and _saturated(model)
    if saturated:
        what = doubt or "nobody has said what training did to the pictures' numbers: say it by --trained-with"
        doubt = f"{what}. Shown noise and ramps, the model is sure of each: its scores are saturated"
    if doubt and (numbers.contradicts or saturated) and not (yes or decided):
        raise ModelsError(f"refused: {doubt}. {ALL_THE_SAME}")
    if doubt:
        console.warn(doubt)


def states_numbers(asked: bytes) -> bool:
    """Whether serving.json, as it was asked for, says what is done to pictures' numbers."""
    return bool(NUMBERS & set(json.loads(asked).get("preprocessing", {})))


def _saturated(model: TracedModel) -> bool:
    """Whether the model is sure of each generated picture but the black one, which scaling leaves as it is."""
    from classifier.engines.probes import generated

    serving, engine = model.serving, keras_engine(model.call)
    if serving.output == "regression" or len(serving.labels) < 2:
        return False
    shown = list(generated(serving.preprocessing))[1:]
    return all_sure([max(serving.first_scores(engine.predict(array))) for array in shown])


def warn_of_one_label(
    samples: Sequence[Sample], shown: Sequence[Mapping[str, Any]], serving: Serving, console: Console
) -> None:
    """Say so where different sample pictures all get one label."""
    if serving.output == "regression" or len(serving.labels) < 2:
        return
    best = {
        sample.data: [found[0] for name, found in answer.items() if name != "sample"][-1]
        for sample, answer in zip(samples, shown, strict=True)
    }
    sure = all_sure([found["score"] for found in best.values()])
    if doubt := one_label_for_all(Counter(found["label"] for found in best.values()), sure=sure):
        console.warn(doubt)
