"""Bilinear interpolation without antialiasing: Pillow copies the pixels, LiteRT does the arithmetic."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from classifier.arrays import FLOAT, FLOAT_BYTES
from classifier.pictures.pipelines.gather import raw
from classifier.pictures.pipelines.programs import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.pictures.pipelines.axes import Pair
    from classifier.pictures.pipelines.samples import Samples

PLACES_AT_ONCE = 224 * 224
"""Places of output that are made together: bounds the memory, 36 bytes a place and channel."""


def interpolated(samples: Samples, tall: Pair, wide: Pair) -> bytearray:
    """Height x width x channels float32 of 0 to 255: with TensorFlow's axes `tf.image.resize`, to the bit."""
    height, width = len(tall.fraction), len(wide.fraction) * samples.channels
    rows = _rows(height, len(wide.fraction))
    across = array(FLOAT, bytes(width * FLOAT_BYTES))
    for channel in range(samples.channels):
        across[channel :: samples.channels] = wide.fraction
    made, row = bytearray(), width * FLOAT_BYTES
    with running("lerps.tflite", (*[(rows, width)] * 4, (1, width), (rows, 1))) as program:
        program.put(4, across)
        for top in _tops(height, rows):
            end = top + rows
            lines = tall.low.cut(top, end), tall.high.cut(top, end)
            for side, image in enumerate(samples.at(lines, [wide.low, wide.high])):
                both = memoryview(raw(image, image.mode))
                program.put(2 * side, both[: len(both) // 2])
                program.put(2 * side + 1, both[len(both) // 2 :])
            program.put(5, tall.fraction[top:end])
            program.compute()
            del made[row * top :]
            made += program.output(0)
    return made


def _rows(height: int, width: int) -> int:
    """Rows of a strip, of which all have as many."""
    most = max(1, PLACES_AT_ONCE // width)
    return -(-height // -(-height // most))


def _tops(height: int, rows: int) -> Iterator[int]:
    """Where strips begin; the last one ends with the picture."""
    return (min(top, height - rows) for top in range(0, height, rows))
