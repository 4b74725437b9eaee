"""Pixels at given rows and columns of a picture: rows cut out as bytes, columns by Pillow's affine transform."""

from __future__ import annotations

from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Self

from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

BYTES = {"L": 1, "RGB": 3, "F": 4}
"""Bytes of a pixel."""
ROW_COST = 20_000
"""Bytes that are copied in the time that it takes to cut out one row."""


class Pick(Record):
    """Rows or columns to copy, in order: `indices`, which are about floor(step * (i + 0.5) + start).

    `wrong` lists the places where Pillow's arithmetic would take another index: floating point, and both ends. The
    places in `blank` lie outside of the picture: they become black.
    """

    indices: tuple[int, ...]
    step: float
    start: float
    wrong: tuple[int, ...]
    blank: tuple[int, ...] = ()

    @classmethod
    def of(cls, indices: tuple[int, ...], step: float, start: float, blank: tuple[int, ...] = ()) -> Self:
        """A pick of `indices`; what Pillow's ImagingScaleAffine (Geometry.c) would take is computed as it does."""
        positions = accumulate(repeat(step, len(indices) - 1), initial=start + step * 0.5)
        taken = [int(position) if position >= 0 else -1 for position in positions]
        same = taken == list(indices)
        wrong = () if same else tuple(i for i, (a, b) in enumerate(zip(taken, indices, strict=True)) if a != b)
        return cls(indices, step, start, wrong, blank)

    @classmethod
    def span(cls, first: int, end: int) -> Self:
        """Consecutive rows or columns."""
        return cls(tuple(range(first, end)), 1.0, float(first), ())


def gather_columns(image: Image, columns: Pick) -> Image:
    """The image's pixels at those columns, of every row."""
    from PIL.Image import Resampling, Transform

    height, size = image.height, len(columns.indices)
    affine = (columns.step, 0.0, columns.start, 0.0, 1.0, 0.0)
    taken = image.transform((size, height), Transform.AFFINE, affine, Resampling.NEAREST)
    for place in columns.wrong:
        index = columns.indices[place]
        taken.paste(image.crop((index, 0, index + 1, height)), (place, 0))
    return taken


def gather_rows(images: Sequence[Image], rows: Sequence[int]) -> Image:
    """The pixels at those rows of images of one size and mode, L, RGB or F: the first image's above the second's."""
    from PIL import Image as Pillow

    first = images[0]
    stride, top, bottom = first.width * BYTES[first.mode], min(rows), max(rows) + 1
    taken = []
    for image in images:
        if (bottom - top) * stride > len(rows) * ROW_COST:
            taken += [image.crop((0, row, image.width, row + 1)).tobytes() for row in rows]
            continue
        whole = (top, bottom) == (0, image.height)
        data = (image if whole else image.crop((0, top, image.width, bottom))).tobytes()
        taken += [data[start : start + stride] for start in [(row - top) * stride for row in rows]]
    return Pillow.frombytes(first.mode, (first.width, len(taken)), b"".join(taken))


def blackened(image: Image, rows: Sequence[int], columns: Sequence[int]) -> Image:
    """Make those rows and columns of an image black."""
    for row in rows:
        image.paste(0, (0, row, image.width, row + 1))
    for column in columns:
        image.paste(0, (column, 0, column + 1, image.height))
    return image
