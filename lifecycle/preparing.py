"""What publishing makes of any source before S3 is written to: a release that was checked, and what samples give."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lifecycle.input_range import one_label_for_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from classifier.bundles.compiled import Report
    from classifier.bundles.serving import Serving
    from classifier.engines.engine import Engine
    from lifecycle.console import Console
    from lifecycle.release import Release
    from lifecycle.serving_options import Sample
    from lifecycle.traffic.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A release that was checked, and what each sample picture gives."""

    release: Release
    samples: list[dict[str, Any]] = field(default_factory=list)
    reference: Reference | None = None
    """What the pictures that were given, and the answers to them, are like."""


def compiled_facts(report: Report) -> dict[str, Any]:
    """What published.json tells of a compiled form."""
    compared = report.measured.get("float32", {})
    return {
        "usable": report.usable,
        "reason": report.reason,
        "largest_difference": compared.get("largest_difference"),
        "bytes": report.model_bytes,
    }


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


def warn_of_one_label(
    samples: Sequence[Sample], shown: Sequence[Mapping[str, Any]], serving: Serving, console: Console
) -> None:
    """Say so where different sample pictures all get one label."""
    if serving.output == "regression" or len(serving.labels) < 2:
        return
    best = {
        sample.data: [found[0]["label"] for name, found in answer.items() if name != "sample"][-1]
        for sample, answer in zip(samples, shown, strict=True)
    }
    if doubt := one_label_for_all(Counter(best.values())):
        console.warn(doubt)
