"""Arrays without numpy, whose import alone is a quarter of a cold start: what flows from pixels to scores.

A *picture* is the model's input: a memoryview of format "f" (float32), C-contiguous, of shape (1, height, width,
channels). Whatever takes a picture takes any buffer of that form, so a float32 numpy array, too. A model's *output* is
an `array.array("f")`: flat, one float32 a unit. `numpy.asarray` of either is the same memory with dtype and shape.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Buffer, Sequence

FLOAT: Final = "f"
FLOAT_BYTES = 4
SMALLEST_NORMAL = 2.0**-126


def shaped(data: Buffer, shape: tuple[int, ...]) -> memoryview[float]:
    """The float32 numbers in `data` under this shape, not copied; TypeError unless C-contiguous, of as many numbers."""
    return memoryview(data).cast("B").cast(FLOAT, shape)


def zeros(shape: tuple[int, ...]) -> memoryview[float]:
    """A float32 array of zeros; a black picture, where nothing is scaled."""
    return shaped(bytearray(math.prod(shape) * FLOAT_BYTES), shape)


def floats(data: Buffer) -> array[float]:
    """The float32 numbers in `data`, flat, as engines give them: a copy."""
    flat: array[float] = array(FLOAT)
    flat.frombytes(memoryview(data).cast("B"))
    return flat


def shortest(numbers: Sequence[float]) -> list[float]:
    """Of each float32 the decimal of fewest digits that is that float32 again: 0.2, not 0.20000000298023224.

    A power of two may get one digit more, as the float32 below it are nearer than those above.
    """
    rounded = array(FLOAT, (0.0,))
    found = []
    for number in numbers:
        # Decimals of six digits are float32 of their own, but for the smallest; nine name every float32 (IEEE 754).
        for digits in range(1 if abs(number) < SMALLEST_NORMAL else 6, 10):
            rounded[0] = decimal = float(f"{number:.{digits}g}")
            if rounded[0] == number:
                break
        found.append(decimal)
    return found
