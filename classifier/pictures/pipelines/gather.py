"""Pixels at given rows and columns of a picture: rows cut out as bytes, columns by Pillow's affine transform."""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Self

from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL._imaging import ImagingCore
    from PIL.Image import Image

BYTES = {"L": 1, "RGB": 3, "RGBA": 4, "F": 4}
"""Bytes of a pixel."""
_AFFINE, _NEAREST = 0, 0
"""`Image.Transform.AFFINE`, `Image.Resampling.NEAREST`."""
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
    @lru_cache(64)
    def span(cls, first: int, end: int) -> Self:
        """Consecutive rows or columns."""
        return cls(tuple(range(first, end)), 1.0, float(first), ())

    def cut(self, first: int, end: int) -> Pick:
        """Some of them."""
        if (first, end) == (0, len(self.indices)):
            return self
        blank = tuple(place - first for place in self.blank if first <= place < end)
        return Pick.of(self.indices[first:end], self.step, self.start + first * self.step, blank)

    def runs(self) -> list[tuple[int, int, float, float]]:
        """From which place to which one, with what step and start, Pillow's arithmetic takes them: later ones win."""
        single = [(place, place + 1, 0.0, self.indices[place] + 0.5) for place in self.wrong]
        return [(0, len(self.indices), self.step, self.start), *single]


type Copy = tuple[tuple[int, int, int, int], tuple[float, float, float, float, float, float]]
"""A box of an image to fill, and the affine transform that says with what."""


def copies(rows: Pick, columns: Pick, top: int) -> list[Copy]:
    """How rows x columns of an image come to the left edge of another one, from its row `top` on."""
    return [
        ((left, top + upper, right, top + lower), (wide, 0.0, x, 0.0, tall, y))
        for upper, lower, tall, y in rows.runs()
        for left, right, wide, x in columns.runs()
    ]


def copy(taken: ImagingCore, target: Image, wanted: Sequence[Copy]) -> None:
    """Copy pixels to an image of the same mode; Pillow's own `transform` makes a new image each time."""
    transform = target.im.transform
    for box, affine in wanted:
        transform(box, taken, _AFFINE, affine, _NEAREST, 0)


def raw(image: Image, mode: str, rows: int | None = None) -> bytes:
    """The bytes of an image, or of its first rows, in a raw mode or of one band; `tobytes` joins them out of pieces."""
    from PIL import _imaging as core

    height = image.height if rows is None else rows
    encoder = core.raw_encoder(image.mode, mode, 0, 1)
    encoder.setimage(image.im, (0, 0, image.width, height))
    data: bytes = encoder.encode(image.width * height * BYTES.get(mode, 1))[2]
    return data


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
