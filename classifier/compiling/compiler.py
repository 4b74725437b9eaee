"""Compiling a bundle: TensorFlow Lite's form of it, held against Keras on probe pictures, and a report of both."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from classifier import logs
from classifier.bundles.compiled import LARGEST_DIFFERENCE, LARGEST_LAYER, Report
from classifier.bundles.serving import ModelShape, parse_serving, stated_outputs
from classifier.compiling.agreement import compared
from classifier.compiling.conversion import converted, first_line, return_freed_memory, saved
from classifier.engines.keras_engine import KerasEngine, TracedModel, load
from classifier.engines.litert_engine import LiteRtEngine, thread_count
from classifier.engines.output_kind import contradictions, judged
from classifier.engines.probes import answers, names, probe_arrays
from classifier.errors import ModelTooLargeError
from classifier.model_memory import COMPILING, Room
from classifier.phases import Phases

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from classifier.bundles.reader import Bundle
    from classifier.bundles.serving import Serving
    from classifier.engines.engine import Engine
    from classifier.errors import ClassifierError

TIMED_RUNS = 5
NEEDED = "needed_mb"
"""In the report of a bundle that was not compiled for want of memory: the megabytes that would do."""

type Compiled = tuple[Report, dict[str, bytes]]


def compile_bundle(
    bundle: Bundle, pictures: Sequence[bytes], quantize: Sequence[str] = (), memory: int = 0
) -> Compiled:
    """The report and the files of a bundle's compiled form: `float32` and each of `quantize` (float16, int8).

    `pictures` are the bundle's own probe pictures, encoded. A model that LiteRT's built-in operators can't express, or
    that differs from Keras by more than 1e-4, gets a report that says so and no file. ModelError for a broken bundle,
    ModelTooLargeError for one that a function of `memory` bytes (0: any) can't compile.
    """
    phases = Phases()
    if memory:
        return_freed_memory()
    model = load(bundle, phases, Room(COMPILING, memory))
    return compile_traced(bundle, model, pictures, quantize, phases, keep=False)


def compile_traced(
    bundle: Bundle,
    model: TracedModel,
    pictures: Sequence[bytes],
    quantize: Sequence[str],
    phases: Phases,
    *,
    keep: bool = True,
) -> Compiled:
    """The same for a model that is loaded already; `publish` may have it from elsewhere than JSON and weights.

    Unless it is to `keep`, the model is emptied before it is converted, as memory has room for it once only.
    """
    probes = probe_arrays(model.serving.preprocessing, pictures)
    reference = _Measured(KerasEngine(model.call), probes)
    model = _judged(bundle, model, reference.rows)
    files: dict[str, bytes] = {}
    measured: dict[str, Any] = {
        "probes": len(probes),
        "tensorflow": {"milliseconds": reference.milliseconds},
        LARGEST_LAYER: model.largest_layer,
    }
    with saved(model) as folder:
        if not keep:
            model.empty()
        for form in ("float32", *quantize):
            with phases.measure(f"convert_{form}"):
                data, trouble = converted(folder, form)
            measured[form] = {"reason": trouble} if data is None else _compared(data, model.serving, probes, reference)
            if data is not None:
                files[form] = data
    measured["seconds"] = {phase: round(ms / 1000, 2) for phase, ms in phases.timings_ms.items()}
    report = _report(bundle, model, files, measured)
    return report, files if report.usable else {}


class _Measured:
    """An engine's output for the probes, float32 of shape (probes, units), and its median time for one."""

    def __init__(self, engine: Engine, probes: Sequence[NDArray[np.float32]]) -> None:
        self.rows = answers(engine.predict, probes)
        durations = []
        for _ in range(TIMED_RUNS):
            started = time.perf_counter()
            engine.predict(probes[-1])
            durations.append((time.perf_counter() - started) * 1000)
        self.milliseconds = round(sorted(durations)[TIMED_RUNS // 2], 3)


def _judged(bundle: Bundle, model: TracedModel, rows: NDArray[np.float32]) -> TracedModel:
    """The model with what all probes show its numbers to be; ModelError where that is open, and nobody has said it.

    What is stated stays as it is, whatever the probes show: a model that is published already doesn't change unasked.
    """
    given = bundle.parts.get("serving")
    shape = judged(model.shape, rows, stated_outputs(given))
    serving = parse_serving(given, bundle.parts.get("labels"), shape)
    for against in contradictions(serving.heads, rows):
        logs.emit("warning", f"what the model's numbers are said to be looks wrong: {against}")
    return replace(model, shape=shape, serving=serving)


def _compared(
    data: bytes, serving: Serving, probes: Sequence[NDArray[np.float32]], reference: _Measured
) -> dict[str, Any]:
    try:
        own = _Measured(LiteRtEngine(data, thread_count()), probes)
    except (RuntimeError, ValueError) as error:
        return {"reason": f"LiteRT can't run it: {first_line(error)}"}
    agreement = compared(serving, own.rows, reference.rows, names(len(probes)))
    return {
        "reason": agreement.refusal("Keras", LARGEST_DIFFERENCE),
        "largest_difference": agreement.largest_difference if math.isfinite(agreement.largest_difference) else None,
        "top_label_agreement": agreement.top_label,
        "left_out": list(agreement.left_out),
        "bytes": len(data),
        "milliseconds": own.milliseconds,
    }


def _report(bundle: Bundle, model: TracedModel, files: dict[str, bytes], measured: dict[str, Any]) -> Report:
    reason = measured["float32"]["reason"]
    data = b"" if reason else files["float32"]
    return Report(
        fingerprint=bundle.fingerprint,
        usable=not reason,
        reason=reason,
        identities=(bundle.snapshot.identity,),
        shape=model.shape,
        serving=_text(bundle.parts.get("serving")),
        labels=_text(bundle.parts.get("labels")),
        model_sha256=hashlib.sha256(data).hexdigest(),
        model_bytes=len(data),
        measured=measured,
        versions=_versions(),
        compiled=_now(),
    )


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode()


def _versions() -> dict[str, str]:
    import ai_edge_litert
    import keras
    import numpy as np
    import tensorflow as tf

    return {module.__name__: module.__version__ for module in (ai_edge_litert, keras, np, tf)}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def refused_report(bundle: Bundle, error: ClassifierError) -> Report:
    """The report of a bundle that can't be loaded at all, by no engine, or that compiling has not the memory for."""
    needed = error.needed_mb if isinstance(error, ModelTooLargeError) else None
    return Report(
        fingerprint=bundle.fingerprint,
        usable=False,
        reason=f"{error.code}: {error}",
        identities=(bundle.snapshot.identity,),
        shape=ModelShape(None, None, 0, 0, None),
        serving=None,
        labels=None,
        model_sha256="",
        model_bytes=0,
        measured={} if needed is None else {NEEDED: needed},
        compiled=_now(),
    )
