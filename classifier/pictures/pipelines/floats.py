"""Arithmetic on Pillow's float planes (mode F), one channel each: what TensorFlow does in float32, in Pillow's C.

Each operation is one of `ImageMath`, rounded to float32 by itself, as in TensorFlow's kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.pictures.pipelines.gather import BYTES

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

    from PIL.Image import Image

    from classifier.pictures.pipelines.axes import Taps


def floats(plane: Image) -> Image:
    """A plane of bytes as floats."""
    return plane if plane.mode == "F" else plane.convert("F")


def combined(operation: Callable[[dict[str, Any]], Any], **planes: Image) -> Image:
    """One expression over planes of one size."""
    from PIL import ImageMath

    result: Image = ImageMath.lambda_eval(operation, **planes)
    return result


def along_rows(numbers: array[float], width: int) -> Image:
    """A plane of `width` whose rows hold one of the float32 numbers each."""
    from PIL import Image as Pillow

    column = Pillow.frombytes("F", (1, len(numbers)), numbers.tobytes())
    return column.resize((width, len(numbers)), Pillow.Resampling.NEAREST)


def weighted(plane: Image, rows: Taps, columns: Taps) -> Image:
    """The plane resized by the taps of both axes: rows first, as TensorFlow does."""
    from PIL.Image import Transpose

    half = _weighted_rows(plane, rows).transpose(Transpose.TRANSPOSE)
    return _weighted_rows(half, columns).transpose(Transpose.TRANSPOSE)


def _weighted_rows(plane: Image, taps: Taps) -> Image:
    from PIL import Image as Pillow

    total: Image | None = None
    data, stride = plane.tobytes(), plane.width * BYTES[plane.mode]  # once: there may be hundreds of taps
    for indices, weights in zip(taps.indices, taps.weights, strict=True):
        rows = b"".join([data[start : start + stride] for start in [index * stride for index in indices]])
        part = floats(Pillow.frombytes(plane.mode, (plane.width, len(indices)), rows))
        share = along_rows(weights, plane.width)
        if total is None:
            total = combined(lambda v: v["part"] * v["share"], part=part, share=share)
        else:
            total = combined(lambda v: v["total"] + v["part"] * v["share"], total=total, part=part, share=share)
    assert total is not None
    return total
