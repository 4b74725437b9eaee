"""A decoded picture that gives its 8-bit pixels at chosen rows and columns: TensorFlow's own for a JPEG.

TensorFlow decodes JPEGs by libjpeg with the fast DCT and "fancy" upsampling of chroma. Pillow's decoder can be asked
for the fast DCT only together with replicated chroma. So chroma is taken as it was stored, and upsampling (jdsample.c)
and colour conversion (jdcolor.c) are done here, in numbers that are exact in float32, at the asked places only.
"""

from __future__ import annotations

from array import array
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Protocol

from classifier.arrays import FLOAT
from classifier.pictures.pipelines.gather import BYTES, Copy, Pick, blackened, copies, copy, raw
from classifier.pictures.pipelines.programs import running
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL._imaging import ImagingCore
    from PIL.Image import Image

    from classifier.litert_c import Program

SAMPLES_AT_ONCE = 1 << 17
"""Stored samples of a JPEG's chroma that are gathered at once: bounds the memory, some 30 bytes each."""


_PIXEL, _PAIR = 4, 8
"""Bytes."""


FEW = 2
"""Times as many columns as are wanted: up to that all are made."""


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
            copy(self._image.im, taken, wanted)
            found.append(blackened(taken, _blank(rows), column.blank))
        return found

    def whole(self) -> Image:
        """See Samples."""
        return self._image


class FastJpeg:
    """A JPEG decoded to YCbCr with chroma replicated `across` times and `down` times."""

    channels = 3

    def __init__(self, image: Image, across: int, down: int) -> None:
        self._image = image
        self.width, self.height = image.size
        # jdsample.c smooths these only, and not two columns as stored.
        self._halved = across == 2 and down <= 2 and self.width > 4
        self._smooth_down = down == 2 and (across == 1 or self._halved)

    def at(self, rows: Sequence[Pick], columns: Sequence[Pick]) -> list[Image]:
        """See Samples: the pixels of libjpeg with its fast DCT. Each pick of rows is of those behind the one before."""
        if sum(len(pick.indices) for pick in rows) >= self.height:
            return self._plain.at(rows, columns)
        return self._made(tuple(rows), columns)

    def whole(self) -> Image:
        """See Samples."""
        return self._made((Pick.span(0, self.height),), [Pick.span(0, self.width)])[0]

    @cached_property
    def _plain(self) -> Plain:
        return Plain(self.whole())

    def _made(self, rows: tuple[Pick, ...], columns: Sequence[Pick]) -> list[Image]:
        from PIL import Image as Pillow

        each, size, smooth = len(rows[0].indices), self._image.size, self._smooth_down
        found = [Pillow.new("RGB", (len(column.indices), len(rows) * each), None) for column in columns]
        if not self._halved:
            with running("full.tflite") as program:
                for image, column in zip(found, columns, strict=True):
                    for strip in _strips(rows, (column,), size, smooth):
                        strip.spread(self._full(program, strip), image, Pick.span(0, strip.stride), each)
        elif self.width <= FEW * sum(len(column.indices) for column in columns):
            with running("halved.tflite") as program:
                for strip in _strips(rows, _halves(self.width), size, smooth):
                    made = self._every_column(program, strip)
                    for image, column in zip(found, columns, strict=True):
                        strip.spread(made, image, column, each)
        else:
            with running("pairs.tflite") as program:
                for strip in _strips(rows, _around(columns[0], self.width), size, smooth):
                    made = self._pairs(program, strip, columns[0])
                    for image, column in zip(found, columns, strict=True):
                        strip.spread(made, image, _of_pairs(columns[0], column), each)
        return [blackened(image, _blank(rows), column.blank) for image, column in zip(found, columns, strict=True)]

    def _full(self, program: Program, strip: _Strip) -> ImagingCore:
        """Columns that have chroma of their own, at the rows of a strip."""
        stride, count = strip.stride, len(strip.parities)
        taken = self._taken(program, strip, 0)
        added = b"".join([stride * (b"\x08" if odd else b"\x04") for odd in strip.parities])
        pixels = _streamed(program, [*strip.chroma(taken), raw(taken, "Y", count), added], stride * count)
        return _mapped(pixels, (stride, count), _PIXEL * stride, 0)

    def _every_column(self, program: Program, strip: _Strip) -> ImagingCore:
        """All columns of the picture, of which chroma has half as many."""
        stride, count = strip.stride, len(strip.parities)
        even, between = self._taken(program, strip, 0), self._taken(program, strip, 1)
        streams = [*strip.chroma(even), raw(between, "Y", count), raw(even, "Y", count)[1:]]
        for index, number in enumerate((self._added[1], self._added[0]), 6):
            program.put(index, array(FLOAT, (number / 16,)))
        pixels = _streamed(program, streams, stride * count)
        return _mapped(pixels, (self.width, count), _PAIR * stride, _PIXEL)

    def _pairs(self, program: Program, strip: _Strip, column: Pick) -> ImagingCore:
        """Of such a picture only those columns, and next to each the one behind it."""
        stride, count = strip.stride, len(strip.parities)
        taken = [self._taken(program, strip, index) for index in range(4)]
        chroma = [stream for image in taken[:3] for stream in strip.chroma(image)]
        odd = bytes([i % 2 for i in column.indices]) * count
        even = odd.translate(b"\1\0" + bytes(254))
        added = [parity.translate(bytes(self._added) + bytes(254)) for parity in (odd, even)]
        luma = [raw(image, "Y", count) for image in (taken[1], taken[3])]
        pixels = _streamed(program, [*chroma, *luma, even, odd, *added], stride * count)
        return _mapped(pixels, (2 * stride, count), _PAIR * stride, 0)

    @property
    def _added(self) -> tuple[int, int]:
        """Sixteenths that libjpeg adds before it truncates, at even columns and at odd ones (jdsample.c)."""
        return (8, 7) if self._smooth_down else (4, 8)

    def _taken(self, program: Program, strip: _Strip, index: int) -> Image:
        taken = _canvas(program, strip.stride, strip.height, index)
        copy(self._image.im, taken, strip.wanted[index])
        return taken


class _Strip(Record):
    """Some places, from `top` on, of each pick of rows: what is copied of the picture for them, for several columns.

    Below all rows are those above the first pick's, and then those below the last one's: `others` says where the bytes
    of each row's other chroma are.
    """

    top: int
    stride: int
    height: int
    parities: tuple[int, ...]
    wanted: list[list[Copy]]
    others: list[tuple[int, int]]

    def chroma(self, taken: Image) -> list[bytes]:
        """Red and blue of each row, and of each row's other one."""
        bands = [raw(taken, name) for name in ("Cr", "Cb")]
        return bands + [b"".join([band[a:b] for a, b in self.others]) if self.others else band for band in bands]

    def spread(self, made: ImagingCore, image: Image, column: Pick, each: int) -> None:
        """Copy a column of what was made of the rows to where they belong, `each` of every pick."""
        count = len(self.parities) * each // image.height
        for index in range(image.height // each):
            lines = Pick.span(index * count, (index + 1) * count)
            copy(made, image, copies(lines, column, index * each + self.top))


@lru_cache(16)
def _strips(rows: tuple[Pick, ...], columns: tuple[Pick, ...], size: tuple[int, int], smooth: bool) -> list[_Strip]:
    stride, each, strips = len(columns[0].indices), len(rows[0].indices), []
    places = max(1, SAMPLES_AT_ONCE // (stride * len(rows)))
    for top in range(0, each, places):
        picks = [pick.cut(top, min(top + places, each)) for pick in rows]
        parities, others = tuple([i % 2 for pick in picks for i in pick.indices]), []
        if smooth:
            picks += _moved(picks[0], -1, size[1]), _moved(picks[-1], 1, size[1])
            others = _others(picks, size[1], stride)
        taken = sum(len(pick.indices) for pick in picks)
        wanted = [_below_each_other(picks, column) for column in columns]
        if len(columns) > 1:
            wanted[-1] = _below_each_other(picks[: len(rows)], columns[-1])  # of these luma alone is asked for
        strips.append(_Strip(top, stride, taken, parities, wanted, others))
    return strips


@lru_cache(16)
def _halves(width: int) -> tuple[Pick, Pick]:
    """Every even column, with one of the same sample more at both ends, and every odd one."""
    stored = -(-width // 2)
    even = Pick.of((0, *range(0, width, 2), 2 * (stored - 1)), 2.0, -2.5)
    return even, Pick(tuple(range(-1, 2 * stored + 2, 2)), 2.0, -1.5, ())


@lru_cache(16)
def _around(column: Pick, width: int) -> tuple[Pick, ...]:
    """Columns of the stored samples before, at and behind those columns, and the columns behind them."""
    return _moved(column, -2, width), column, _moved(column, 2, width), _moved(column, 1, width)


@lru_cache(16)
def _of_pairs(first: Pick, column: Pick) -> Pick:
    """Where columns are among pairs that begin with `first`."""
    places = [2 * place + (a != b) for place, (a, b) in enumerate(zip(first.indices, column.indices, strict=True))]
    return Pick.of(tuple(places), 2.0, -0.5 + (first != column))


def _moved(pick: Pick, by: int, length: int) -> Pick:
    return Pick.of(tuple([min(max(i + by, 0), length - 1) for i in pick.indices]), pick.step, pick.start + by)


def _others(picks: Sequence[Pick], height: int, stride: int) -> list[tuple[int, int]]:
    """Where each row's other chroma is: that above an even row, below an odd one. Neighbours are joined."""
    found: list[tuple[int, int]] = []
    each, end = len(picks[0].indices) * stride, -1
    stored = [[i // 2 for i in pick.indices] for pick in picks]
    for pick in picks[:-2]:
        for place, (row, *held) in enumerate(zip(pick.indices, *stored, strict=True)):
            other = min(max(row + (1 if row % 2 else -1), 0), height - 1) // 2
            first = held.index(other) * each + place * stride
            if first != end:
                found.append((first, first))
            end = first + stride
            found[-1] = (found[-1][0], end)
    return found


def _below_each_other(rows: Sequence[Pick], columns: Pick) -> list[Copy]:
    each = len(rows[0].indices)
    return [found for index, pick in enumerate(rows) for found in copies(pick, columns, index * each)]


@lru_cache(8)
def _canvas(program: Program, width: int, height: int, index: int) -> Image:  # noqa: ARG001 - of whoever has it
    """To be filled and read at once. Made anew for each picture, it would cost as much as that."""
    from PIL import Image as Pillow

    return Pillow.new("YCbCr", (width, height))


def _streamed(program: Program, streams: Sequence[bytes], length: int) -> memoryview[int]:
    """Four bytes a pixel, of a program over streams of bytes, of which it takes a stretch at a time."""
    given = [(memory, len(memory), memoryview(stream)) for memory, stream in zip(program.given, streams, strict=False)]
    step, pixels = min(count for _, count, _ in given), program.output(0)
    stretches = -(-length // step)
    made = _memory(program, stretches * len(pixels) + _PAIR)
    for index in range(stretches):
        start = index * step
        for memory, count, stream in given:
            part = stream[start : start + count]
            memory[: len(part)] = part
        program.compute()
        made[index * len(pixels) : (index + 1) * len(pixels)] = pixels
    return made


@lru_cache(2)
def _memory(program: Program, count: int) -> memoryview[int]:  # noqa: ARG001
    """For pixels. See _canvas."""
    return memoryview(bytearray(count))


def _mapped(pixels: memoryview[int], size: tuple[int, int], stride: int, first: int) -> ImagingCore:
    """An image over that memory, of four bytes a pixel."""
    from PIL import _imaging as core

    image: ImagingCore = core.map_buffer(pixels, size, "raw", first, ("RGB", stride, 1))
    return image


def _blank(rows: Sequence[Pick]) -> list[int]:
    """The blank places of all picks one after the other."""
    places, before = [], 0
    for pick in rows:
        places += [before + place for place in pick.blank]
        before += len(pick.indices)
    return places
