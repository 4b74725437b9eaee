"""Compiling a bundle: TensorFlow Lite's form of it, held against Keras on probe pictures, and a report of both."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier import logs
from classifier.bundles.compiled import EXPLAIN, LARGEST_DIFFERENCE, LARGEST_LAYER, Report, text_of
from classifier.bundles.serving import ModelShape, parse_serving, stated_outputs
from classifier.compiling.agreement import compared
from classifier.compiling.apart import apart
from classifier.compiling.conversion import (
    conversion_folder,
    converted,
    first_line,
    leave_out_tensorflows_python,
    return_freed_memory,
    save,
)
from classifier.compiling.explain_form import checked_head
from classifier.engines.keras_engine import KerasEngine, TracedModel, load, unpack_tensorflow
from classifier.engines.litert_engine import LiteRtEngine, thread_count
from classifier.engines.output_kind import contradictions, judged
from classifier.engines.probes import answers, names, probe_arrays
from classifier.errors import ModelTooLargeError
from classifier.model_memory import COMPILING, Room
from classifier.phases import Phases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    """The report and the files of a bundle's compiled form: `float32`, each of `quantize` (float16, int8), `explain`.

    `pictures` are the bundle's own probe pictures, encoded. A model that LiteRT's built-in operators can't express, or
    that differs from Keras by more than 1e-4, gets a report that says so and no file. ModelError for a broken bundle,
    ModelTooLargeError for one that a function of `memory` bytes (0: any) can't compile. A function's memory is spent in
    processes of their own, so that TensorFlow is not imported here.
    """
    if memory:
        return _compiled_apart(bundle, pictures, quantize, memory)
    phases = Phases()
    return compile_traced(bundle, load(bundle, phases), pictures, quantize, phases, keep=False)


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
    with conversion_folder() as folder:
        reference = _saved(bundle, model, pictures, phases, folder)
        if not keep:
            model.empty()
        return _converted(bundle, reference, pictures, quantize, folder, lambda _form, data: data)


def _compiled_apart(bundle: Bundle, pictures: Sequence[bytes], quantize: Sequence[str], memory: int) -> Compiled:
    phases = Phases()
    unpack_tensorflow(phases)  # once for all processes

    def load_and_save(folder: str) -> _Reference:
        return_freed_memory()
        model = load(bundle, phases, Room(COMPILING, memory))
        reference = _saved(bundle, model, pictures, phases, folder)
        model.empty()
        return reference

    def convert(folder: str, reference: _Reference) -> tuple[Report, list[str]]:
        return_freed_memory()
        leave_out_tensorflows_python()
        report, files = _converted(bundle, reference, pictures, quantize, folder, partial(_mapped, folder))
        return report, list(files)

    with conversion_folder() as folder:
        reference = apart(lambda: load_and_save(folder))
        report, forms = apart(lambda: convert(folder, reference))
        return report, {form: Path(folder, form).read_bytes() for form in forms}


@dataclass(frozen=True, slots=True)
class _Reference:
    """What Keras says of the probes, and what converting must know of the model besides."""

    shape: ModelShape
    serving: Serving
    largest_layer: int
    answers: _Measured
    phases: Phases
    versions: dict[str, str]


def _saved(bundle: Bundle, model: TracedModel, pictures: Sequence[bytes], phases: Phases, folder: str) -> _Reference:
    """Ask Keras, and leave the model in the folder as the converter reads it."""
    probes = probe_arrays(model.serving.preprocessing, pictures)
    answered = _Measured(KerasEngine(model.call), probes)
    model = _judged(bundle, model, answered.rows)
    save(model, folder)
    return _Reference(model.shape, model.serving, model.largest_layer, answered, phases, _versions())


def _mapped(folder: str, form: str, data: bytes) -> mmap:
    """A form in a file of the folder, and no longer in memory, which has no room for it beside the next conversion."""
    path = Path(folder, form)
    path.write_bytes(data)
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_COPY)


def _converted[Kept: (bytes, mmap)](
    bundle: Bundle,
    reference: _Reference,
    pictures: Sequence[bytes],
    quantize: Sequence[str],
    folder: str,
    kept: Callable[[str, bytes], Kept],
) -> tuple[Report, dict[str, Kept]]:
    """Each form of the model in the folder, compared with the reference; `kept` says what becomes of a form's data."""
    phases, probes = reference.phases, probe_arrays(reference.serving.preprocessing, pictures)
    files: dict[str, Kept] = {}
    measured: dict[str, Any] = {
        "probes": len(probes),
        "tensorflow": {"milliseconds": reference.answers.milliseconds},
        LARGEST_LAYER: reference.largest_layer,
    }
    for form in ("float32", *quantize):
        with phases.measure(f"convert_{form}"):
            data, trouble = converted(folder, form)
        measured[form] = {"reason": trouble}
        if data is not None:
            files[form] = kept(form, data)
            del data
            measured[form] = _compared(files[form], reference, probes)
    if not measured["float32"]["reason"]:
        with phases.measure("explain"):
            head, measured[EXPLAIN] = checked_head(files["float32"], probes, thread_count())
        if head is not None:
            files[EXPLAIN] = kept(EXPLAIN, head)
    measured["seconds"] = {phase: round(ms / 1000, 2) for phase, ms in phases.timings_ms.items()}
    report = _report(bundle, reference, files, measured)
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


def _compared(data: bytes | mmap, reference: _Reference, probes: Sequence[NDArray[np.float32]]) -> dict[str, Any]:
    try:
        own = _Measured(LiteRtEngine(data, thread_count()), probes)
    except (RuntimeError, ValueError) as error:
        return {"reason": f"LiteRT can't run it: {first_line(error)}"}
    agreement = compared(reference.serving, own.rows, reference.answers.rows, names(len(probes)))
    return {
        "reason": agreement.refusal("Keras", LARGEST_DIFFERENCE),
        "largest_difference": agreement.largest_difference if math.isfinite(agreement.largest_difference) else None,
        "top_label_agreement": agreement.top_label,
        "left_out": list(agreement.left_out),
        "bytes": len(data),
        "milliseconds": own.milliseconds,
    }


def _report(
    bundle: Bundle, reference: _Reference, files: Mapping[str, bytes | mmap], measured: dict[str, Any]
) -> Report:
    reason = measured["float32"]["reason"]
    data = b"" if reason else files["float32"]
    return Report(
        fingerprint=bundle.fingerprint,
        usable=not reason,
        reason=reason,
        identities=(bundle.snapshot.identity,),
        shape=reference.shape,
        serving=text_of(bundle.parts.get("serving")),
        labels=text_of(bundle.parts.get("labels")),
        model_sha256=hashlib.sha256(data).hexdigest(),
        model_bytes=len(data),
        measured=measured,
        versions=reference.versions,
        compiled=_now(),
    )


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
