"""The fast engine: a bundle's compiled form, run by LiteRT. TensorFlow is neither unpacked nor imported."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from classifier.arrays import floats, zeros
from classifier.bundles.serving import parse_serving
from classifier.documents import blamed
from classifier.engines.engine import Loaded
from classifier.errors import ModelError
from classifier.litert_c import FLOAT32, LiteRtError, Program
from classifier.phases import Phases

if TYPE_CHECKING:
    from array import array
    from collections.abc import Buffer, Sequence
    from mmap import mmap

    from classifier.bundles.compiled import Report

MEGABYTES_A_CORE = 1769
"""Lambda gives a function one whole core for each 1,769 MB of memory ("Configure Lambda function memory")."""


class CompiledModel(Program):
    """A classifier: one input, float32 as its outputs."""

    elements = (FLOAT32,)

    def _open(self, data: bytes | mmap, threads: int, shapes: Sequence[tuple[int, ...]]) -> None:
        super()._open(data, threads, shapes)
        if len(self.inputs) != 1:
            raise LiteRtError(f"the model has {len(self.inputs)} inputs, expected one")

    @property
    def input_shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.inputs[0].layout.shape
        return shape

    def run(self, picture: Buffer) -> tuple[array[float], ...]:
        """The outputs, each flat float32, for an input of `input_shape`: C-contiguous float32, of as many numbers.

        ValueError if it has another size, LiteRtError if running fails.
        """
        self.put(0, picture)
        self.compute()
        return tuple(floats(self.output(index)) for index in range(len(self.outputs)))


class LiteRtEngine:
    """One compiled model, ready to run; it answers one picture at a time, as Lambda asks."""

    name = "litert"

    def __init__(self, model: bytes | mmap, threads: int) -> None:
        """LiteRtError if LiteRT can't run the model."""
        self.data = model
        self._model = CompiledModel(model, threads)

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of `outputs`."""
        return self._model.output_shapes

    def predict(self, picture: Buffer) -> array[float]:
        """The model's output, flat float32, for a picture of shape (1, height, width, channels)."""
        return self._model.run(picture)[0]

    def outputs(self, picture: Buffer) -> tuple[array[float], ...]:
        """All outputs, where the compiled form has more than the model's, which comes first."""
        return self._model.run(picture)


def open_litert(model: bytes | mmap, report: Report) -> Loaded:
    """Make ready a compiled form and answer once; ModelError if LiteRT refuses it."""
    phases = Phases()
    with blamed("report.json"):
        serving = parse_serving(_encoded(report.serving), _encoded(report.labels), report.shape)
    try:
        with phases.measure("build"):
            engine = LiteRtEngine(model, thread_count())
        with phases.measure("first"):
            raw = engine.predict(zeros(serving.preprocessing.shape))
            if not all(map(math.isfinite, raw)):  # as where a model divides by its picture's deviation
                raw = engine.predict(serving.preprocessing.to_array(_ramp(serving.preprocessing.shape)))
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"LiteRT can't run the compiled form: {error}") from error
    if len(raw) != report.shape.units or not all(map(math.isfinite, raw)):
        raise ModelError(f"the compiled form answers with {len(raw)} numbers, its report says {report.shape.units}")
    return Loaded(engine, serving, phases.timings_ms)


def _ramp(shape: tuple[int, ...]) -> bytes:
    """A picture whose pixels differ."""
    count = math.prod(shape)
    return bytes(256 * index // count for index in range(count))


def thread_count() -> int:
    """As many threads as the function has whole cores; all cores where its memory is not known."""
    memory = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    cores = os.process_cpu_count() or 1
    return min(cores, max(1, int(memory) // MEGABYTES_A_CORE)) if memory.isdecimal() else cores


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
