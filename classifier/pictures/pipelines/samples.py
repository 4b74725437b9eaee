"""A decoded picture that gives its 8-bit pixels at chosen rows and columns: TensorFlow's own for a JPEG.

TensorFlow decodes JPEGs by libjpeg with the fast DCT and "fancy" upsampling of chroma. Pillow's decoder can be asked
for the fast DCT only together with replicated chroma. So chroma is taken as it was stored, and upsampling (jdsample.c)
and colour conversion (jdcolor.c) are done here, in numbers that are exact in float32, at the asked places only.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Protocol

from classifier.pictures.pipelines.axes import rounded
from classifier.pictures.pipelines.floats import along_columns, along_rows, combined, floats, lerp, plus
from classifier.pictures.pipelines.gather import BYTES, Pick, blackened, copies, copy, gather_columns, gather_rows

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from PIL.Image import Image

STRIP = 128
"""Rows that are made at once when the whole picture is wanted: bounds the memory of float planes."""
_UNIT = 65536
_MATRIX = (
    *(1, 0, 91881 / _UNIT, -128 * 91881 / _UNIT),
    *(1, -22554 / _UNIT, -46802 / _UNIT, 128 * (22554 + 46802) / _UNIT),
    *(1, 116130 / _UNIT, 0, -128 * 116130 / _UNIT),
)
"""jdcolor.c's fixed-point YCbCr to RGB. Pillow adds a half and truncates: equal for all 2^24 colours (a test)."""


class Samples(Protocol):
    """A picture's size and its pixels at rows x columns."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def channels(self) -> int: ...
    def at(self, rows: Sequence[Pick], columns: Sequence[Pick]) -> list[Image]:
        """For each pick of columns the pixels of all picks of rows one below the other; blank is black."""

    def whole(self) -> Image:
        """All of it, RGB or L."""


class Plain:
    """Pixels of a picture that Pillow decoded as it should be."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.width, self.height = image.size
        self.channels = BYTES[image.mode]

    def at(self, rows: Sequence[Pick], columns: Sequence[Pick]) -> list[Image]:
        """See Samples."""
        from PIL import Image as Pillow

        found = []
        for column in columns:
            height, wanted = 0, []
            for pick in rows:
                wanted += copies(pick, column, height)
                height += len(pick.indices)
            taken = Pillow.new(self._image.mode, (len(column.indices), height))
            copy(self._image, taken, wanted)
            found.append(blackened(taken, _blank(rows), column.blank))
        return found

    def whole(self) -> Image:
        """See Samples."""
        return self._image


class FastJpeg:
    """A JPEG decoded to YCbCr with chroma replicated `across` times and `down` times; `fancy_` where it is smoothed."""

    channels = 3

    def __init__(self, image: Image, across: int, down: int) -> None:
        self.image = image
        self.width, self.height = image.size
        self._across, self._down = across, down
        self.fancy_across = across == 2 and self.width > 4  # jdsample.c: not worth it for two columns as stored
        self.fancy_down = down == 2 and (across == 1 or self.fancy_across)

    @cached_property
    def _planes(self) -> tuple[Image, list[Image]]:
        """Luma, and both chroma planes as they are stored."""
        luma, *chroma = self.image.split()
        factors = (self._across, self._down)
        return luma, [plane.reduce(factors) if factors != (1, 1) else plane for plane in chroma]

    def at(self, rows: Sequence[Pick], columns: Sequence[Pick]) -> list[Image]:
        """See Samples: the pixels of libjpeg with its fast DCT."""
        from PIL import Image as Pillow

        wanted, blank = _joined(rows), _blank(rows)
        luma, chroma = gather_rows([self._planes[0]], wanted), self._terms(self._chroma_rows(wanted))
        height = len(wanted)
        found = []
        for column in columns:
            both = self._chroma_columns(chroma, wanted, column)
            blue, red = both.crop((0, 0, both.width, height)), both.crop((0, height, both.width, 2 * height))
            merged = Pillow.merge("RGB", (gather_columns(luma, column), blue, red)).convert("RGB", _MATRIX)
            found.append(blackened(merged, blank, column.blank))
        return found

    def whole(self) -> Image:
        """See Samples."""
        from PIL import Image as Pillow

        canvas = Pillow.new("RGB", (self.width, self.height))
        for top in range(0, self.height, STRIP):
            rows = Pick.span(top, min(top + STRIP, self.height))
            canvas.paste(self.at([rows], [Pick.span(0, self.width)])[0], (0, top))
        return canvas

    def _chroma_rows(self, rows: Sequence[int]) -> Image:
        """Both chroma planes at those rows, as wide as they are stored; with fancy upsampling as floats."""
        chroma = self._planes[1]
        if not self.fancy_down:
            return gather_rows(chroma, [row // self._down for row in rows])
        last = chroma[0].height - 1
        return lerp(
            floats(gather_rows(chroma, [max((row - 1) // 2, 0) for row in rows])),
            floats(gather_rows(chroma, [min((row + 1) // 2, last) for row in rows])),
            along_rows(rounded([0.25 if row % 2 else 0.75 for row in rows] * 2), chroma[0].width),
        )

    def _terms(self, plane: Image) -> tuple[Image, Image]:
        """What a column of chroma is made of: the plane for its first sample, and for its second.

        What libjpeg adds before it truncates changes with the column's parity p: 8 - p sixteenths, or 1 + p fourths.
        With the second sample's share s = 0.75 - p / 2 that is `added` + `more` * s.
        """
        if not self.fancy_across:
            return plane, plane
        added, more = (13 / 32, 1 / 8) if self.fancy_down else (5 / 8, -1 / 2)
        plane = floats(plane)
        return plus(plane, added), plus(plane, added + more)

    def _chroma_columns(self, terms: tuple[Image, Image], rows: Sequence[int], column: Pick) -> Image:
        """Those columns of both chroma planes, as bytes; without columns to make, what is added follows the rows."""
        first, second = terms
        if not self.fancy_across:
            plane = gather_columns(first, _stored(column, self._across))
            if not self.fancy_down:
                return plane
            halves = along_rows(rounded([0.5 if row % 2 else 0.25 for row in rows] * 2), plane.width)
            return combined(lambda v: v["plane"] + v["halves"], plane=plane, halves=halves).convert("L")
        before, behind, share = _fancy(column, first.width)
        shares = along_columns(share, first.height)
        return lerp(gather_columns(first, before), gather_columns(second, behind), shares).convert("L")


@lru_cache(64)
def _fancy(column: Pick, stored: int) -> tuple[Pick, Pick, array[float]]:
    """The two stored columns that make each picked one, and the share of the second.

    The nearer sample has three parts, the other one (jdsample.c: h2v1_fancy_upsample, h2v2_fancy_upsample).
    """
    step = column.step / 2
    before = Pick.of(tuple([max((i - 1) // 2, 0) for i in column.indices]), step, (column.start - 1) / 2)
    behind = Pick.of(tuple([min((i + 1) // 2, stored - 1) for i in column.indices]), step, (column.start + 1) / 2)
    return before, behind, rounded([0.25 if i % 2 else 0.75 for i in column.indices])


@lru_cache(64)
def _stored(column: Pick, factor: int) -> Pick:
    """Where the columns of the picture are in a plane that is `factor` times narrower."""
    return Pick.of(tuple([i // factor for i in column.indices]), column.step / factor, column.start / factor)


def _joined(rows: Sequence[Pick]) -> list[int]:
    return [index for pick in rows for index in pick.indices]


def _blank(rows: Sequence[Pick]) -> list[int]:
    """The blank places of all picks one after the other."""
    places, before = [], 0
    for pick in rows:
        places += [before + place for place in pick.blank]
        before += len(pick.indices)
    return places
