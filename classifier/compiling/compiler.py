"""Compiling a bundle: TensorFlow Lite's form of it, held against Keras on probe pictures, and a report of both."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any

from classifier import logs
from classifier.bundles.compiled import LARGEST_DIFFERENCE, LARGEST_LAYER, Report
from classifier.bundles.serving import ModelShape
from classifier.compiling.conversion import converted, first_line, return_freed_memory, saved
from classifier.engines.keras_engine import KerasEngine, TracedModel, load
from classifier.engines.litert_engine import LiteRtEngine, thread_count
from classifier.errors import ImageError, ModelTooLargeError
from classifier.model_memory import COMPILING, Room
from classifier.phases import Phases
from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from classifier.bundles.reader import Bundle
    from classifier.bundles.serving import Serving
    from classifier.engines.engine import Engine
    from classifier.errors import ClassifierError
    from classifier.pictures.preprocessing import Preprocessing

GENERATED_PROBES = 8
TIMED_RUNS = 5
TIE = 1e-6
"""Labels whose scores are as near as this share their place: either may come first."""
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
    reference = _Measured(KerasEngine(model.call), model.serving, probes)
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
            measured[form]["reason"] = _verdict(measured[form])
            if data is not None:
                files[form] = data
    measured["seconds"] = {phase: round(ms / 1000, 2) for phase, ms in phases.timings_ms.items()}
    report = _report(bundle, model, files, measured)
    return report, files if report.usable else {}


def probe_arrays(preprocessing: Preprocessing, pictures: Sequence[bytes]) -> list[NDArray[np.float32]]:
    """Preprocessed probes, float32 of shape (1, height, width, channels): noise, ramps, flat ones, and `pictures`.

    Generated ones are seeded, so that the same bundle is always asked the same questions.
    """
    import numpy as np

    height, width, channels = preprocessing.shape[1:]
    random = np.random.default_rng(20170925)
    ramp = np.linspace(0, 255, height * width * channels).reshape(height, width, channels)
    generated = [np.zeros_like(ramp), np.full_like(ramp, 255), ramp, ramp[::-1]]
    while len(generated) < GENERATED_PROBES:
        coarse = random.integers(0, 256, (-(-height // 8), -(-width // 8), channels))
        smooth = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
        generated.append(smooth + random.integers(-20, 21, smooth.shape))
    arrays = [preprocessing.to_array(array.clip(0, 255).astype(np.uint8).tobytes()) for array in generated]
    arrays += [array for data in pictures if (array := _decoded(data, preprocessing)) is not None]
    return list(map(np.asarray, arrays))


def _decoded(data: bytes, preprocessing: Preprocessing) -> memoryview[float] | None:
    """A picture as the model takes it; None, and a line in the log, for what no request could send either."""
    limits = ImageLimits()
    try:
        return preprocessing.to_array(decode(inspect(data, limits), preprocessing, limits).pixels)
    except ImageError as error:
        logs.emit("warning", "a probe picture can't be decoded, it is left out", error=error)
        return None


class _Measured:
    """An engine's scores for the probes, float32 of shape (probes, labels), and its median time for one."""

    def __init__(self, engine: Engine, serving: Serving, probes: Sequence[NDArray[np.float32]]) -> None:
        import numpy as np

        self.scores = np.array([serving.scores(engine.predict(probe)) for probe in probes], np.float32)
        durations = []
        for _ in range(TIMED_RUNS):
            started = time.perf_counter()
            engine.predict(probes[-1])
            durations.append((time.perf_counter() - started) * 1000)
        self.milliseconds = round(sorted(durations)[TIMED_RUNS // 2], 3)


def _compared(
    data: bytes, serving: Serving, probes: Sequence[NDArray[np.float32]], reference: _Measured
) -> dict[str, Any]:
    import numpy as np

    try:
        own = _Measured(LiteRtEngine(data, thread_count()), serving, probes)
    except (RuntimeError, ValueError) as error:
        return {"reason": f"LiteRT can't run it: {first_line(error)}"}
    top, rows = own.scores.argmax(1), np.arange(len(probes))
    same_label = (reference.scores.max(1) - reference.scores[rows, top] <= TIE).mean()
    return {
        "reason": "",
        "largest_difference": float(np.abs(own.scores - reference.scores).max()),
        "top_label_agreement": float(same_label),
        "bytes": len(data),
        "milliseconds": own.milliseconds,
    }


def _verdict(compared: dict[str, Any]) -> str:
    """Why a form is not as good as Keras; empty if it is. NaN is a difference too."""
    if compared["reason"]:
        return str(compared["reason"])
    difference = compared["largest_difference"]
    if not difference <= LARGEST_DIFFERENCE:
        return f"scores differ from Keras by {difference:.2g}, at most {LARGEST_DIFFERENCE:g} is allowed"
    if compared["top_label_agreement"] < 1:
        return f"the top label agrees with Keras on {compared['top_label_agreement']:.0%} of the probes only"
    return ""


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
