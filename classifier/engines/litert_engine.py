"""The fast engine: a bundle's compiled form, run by LiteRT. TensorFlow is neither unpacked nor imported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from classifier.bundles.serving import parse_serving
from classifier.engines.engine import Loaded
from classifier.errors import ModelError
from classifier.phases import Phases

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from classifier.bundles.compiled import Report

MEGABYTES_A_CORE = 1769
"""Lambda gives a function one whole core for each 1,769 MB of memory ("Configure Lambda function memory")."""


class LiteRtEngine:
    """One interpreter, kept with its tensors allocated; it answers one picture at a time, as Lambda asks."""

    name = "litert"

    def __init__(self, model: bytes, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter: Any = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def predict(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """The model's output, float32 of shape (units,), for a picture of shape (1, height, width, channels)."""
        self._interpreter.set_tensor(self._input, picture)
        self._interpreter.invoke()
        output: NDArray[np.float32] = self._interpreter.get_tensor(self._output)
        return output.reshape(-1)


def open_litert(model: bytes, report: Report) -> Loaded:
    """Make an interpreter of a compiled form and answer once; ModelError if LiteRT refuses it."""
    import numpy as np

    phases = Phases()
    serving = parse_serving(_encoded(report.serving), _encoded(report.labels), report.shape)
    try:
        with phases.measure("build"):
            engine = LiteRtEngine(model, thread_count())
        with phases.measure("first"):
            raw = engine.predict(np.zeros(serving.preprocessing.shape, np.float32))
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"LiteRT can't run the compiled form: {error}") from error
    if raw.shape != (report.shape.units,) or not np.isfinite(raw).all():
        raise ModelError(f"the compiled form answers with {raw.shape[0]} numbers, its report says {report.shape.units}")
    return Loaded(engine, serving, phases.timings_ms)


def thread_count() -> int:
    """As many threads as the function has whole cores; all cores where its memory is not known."""
    memory = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    cores = os.process_cpu_count() or 1
    return min(cores, max(1, int(memory) // MEGABYTES_A_CORE)) if memory.isdecimal() else cores


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
