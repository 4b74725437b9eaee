"""Bilinear interpolation without antialiasing, of a JPEG with libjpeg's chroma and colours in the same go.

Pillow copies samples. The arithmetic is two programs that LiteRT runs, made by tools/pixels: each operation is rounded
to float32 by itself, as in TensorFlow's kernels, and XNNPACK does eight numbers at a time where Pillow does one.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from classifier.litert_c import LiteRtError, Program
from classifier.pictures.pipelines import axes
from classifier.pictures.pipelines.axes import rounded
from classifier.pictures.pipelines.gather import Copy, Pick, band, copies, copy
from classifier.pictures.pipelines.samples import FastJpeg
from classifier.records import Record

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterator, Sequence

    from PIL.Image import Image

    from classifier.pictures.pipelines.axes import Pair, Part
    from classifier.pictures.pipelines.samples import Samples

PLACES_AT_ONCE = 56 * 224
"""Places of output that are made together: most of what they take stays in the processor's caches."""

type Shapes = tuple[tuple[int, ...], ...]


class ResizeError(Exception):
    """LiteRT can't run a program of ours: no fault of the picture's."""


def tensorflow(samples: Samples, tall: Part, wide: Part) -> bytearray:
    """Height x width x channels float32 of 0 to 255: `tf.image.resize(method="bilinear")`, to the bit."""
    if isinstance(samples, FastJpeg):
        plan = _plan(tall, wide, samples.fancy_down, samples.fancy_across)
        if plan is not None:
            return _run(_Jpeg(samples, plan))
    return interpolated(samples, axes.bilinear(tall), axes.bilinear(wide))


def interpolated(samples: Samples, tall: Pair, wide: Pair) -> bytearray:
    """Height x width x channels float32 of 0 to 255, of any two axes."""
    return _run(_Pixels(samples, tall, wide))


class _Strips(Protocol):
    """What a program gets for `rows` rows at a time of `height`."""

    file: str
    shapes: Shapes
    height: int
    rows: int

    def begin(self, machine: _Machine) -> None: ...
    def put(self, machine: _Machine, top: int) -> None: ...


class _Machine:
    """A program for inputs of certain shapes, and images to fill: made anew, they would cost more than what is done."""

    def __init__(self, file: str, shapes: Shapes) -> None:
        self._program = Program((Path(__file__).parent / file).read_bytes(), 1, shapes)
        self.put, self.compute, self.output = self._program.put, self._program.compute, self._program.output
        self.images: list[Image] = []
        self.lock = threading.Lock()
        """It knows one picture at a time."""


_machine = lru_cache(4)(_Machine)


def _run(strips: _Strips) -> bytearray:
    made = bytearray()
    try:
        machine = _machine(strips.file, strips.shapes)
        with machine.lock:
            strips.begin(machine)
            for top in _tops(strips.height, strips.rows):
                strips.put(machine, top)
                machine.compute()
                with machine.output(0) as numbers:
                    row = len(numbers) // strips.rows
                    made = made or bytearray(row * strips.height)
                    memoryview(made)[row * top : row * top + len(numbers)] = numbers
    except LiteRtError as error:
        raise ResizeError(f"{strips.file} for {strips.shapes}: {error}") from error
    return made


def _rows(height: int, width: int) -> int:
    """Rows of a strip, of which all have as many."""
    most = max(1, PLACES_AT_ONCE // width)
    return -(-height // -(-height // most))


def _tops(height: int, rows: int) -> Iterator[int]:
    """Where strips begin; the last one ends with the picture."""
    return (min(top, height - rows) for top in range(0, height, rows))


class _Pixels:
    """Pixels as they are: left and right of each place, upper rows and lower ones."""

    file = "lerps.tflite"

    def __init__(self, samples: Samples, tall: Pair, wide: Pair) -> None:
        self._samples, self._tall, self._wide = samples, tall, wide
        self.height = len(tall.fraction)
        self.rows = _rows(self.height, len(wide.fraction))
        self._across = rounded([share for share in wide.fraction for _ in range(samples.channels)])
        pixels = (2, self.rows, len(self._across))
        self.shapes: Shapes = pixels, pixels, (1, 1, len(self._across)), (1, self.rows, 1)

    def begin(self, machine: _Machine) -> None:
        machine.put(2, self._across)

    def put(self, machine: _Machine, top: int) -> None:
        end = top + self.rows
        rows = self._tall.low.cut(top, end), self._tall.high.cut(top, end)
        for index, image in enumerate(self._samples.at(rows, [self._wide.low, self._wide.high])):
            machine.put(index, image.tobytes())
        machine.put(3, self._tall.fraction[top:end])


class _Side(Record):
    """One axis of a JPEG: which samples of chroma are needed, which of luma, and how much of each.

    Two places next to each other, `low` and the next, are made of three stored samples: `chroma` has those before,
    at and behind `low`. `shares` are what the program asks for: of the first, of the third, and of the high place.
    """

    chroma: tuple[Pick, Pick, Pick]
    luma: tuple[Pick, Pick]
    shares: tuple[array[float], array[float], array[float], array[float]]

    @classmethod
    def of(cls, pair: Pair, length: int, *, fancy: bool) -> _Side:
        low, high = pair.low, pair.high
        # Where both are one sample, at an edge, the second place is not made: nothing of it is taken.
        fraction = [0.0 if a == b else f for a, b, f in zip(low.indices, high.indices, pair.fraction, strict=True)]
        if not fancy:
            shares = rounded([1.0] * len(fraction)), rounded([0.0] * len(fraction)), rounded([4.0] * len(fraction))
            return cls((low, low, high), (low, high), (*shares, rounded(fraction)))
        before = Pick.of(tuple([max(i - 1, 0) for i in low.indices]), low.step, low.start - 1)
        behind = Pick.of(tuple([min(i + 2, length - 1) for i in low.indices]), low.step, low.start + 2)
        even = rounded([1.0 - i % 2 for i in low.indices])
        here, there = rounded([1 + 2 * share for share in even]), rounded([3 - 2 * share for share in even])
        return cls((before, low, behind), (low, high), (even, here, there, rounded(fraction)))


class _Plan(Record):
    """All that does not depend on a JPEG's pixels, for pictures of one size."""

    height: int
    width: int
    rows: int
    down: _Side
    across: _Side
    added: tuple[array[float], ...]
    added_by_row: bool
    strips: dict[int, tuple[list[Copy], list[Copy]]]


@lru_cache(16)
def _plan(tall: Part, wide: Part, fancy_down: bool, fancy_across: bool) -> _Plan | None:
    """None where there are borders, which are black whatever chroma is around."""
    pairs = axes.bilinear(tall), axes.bilinear(wide)
    if any(pick.blank for pair in pairs for pick in (pair.low, pair.high)):
        return None
    down = _Side.of(pairs[0], tall.length, fancy=fancy_down)
    across = _Side.of(pairs[1], wide.length, fancy=fancy_across)
    rows = _rows(tall.kept, wide.kept)
    strips = {}
    for top in _tops(tall.kept, rows):
        strips[top] = (
            _below_each_other(down.chroma, across.chroma, top, rows),
            _below_each_other(down.luma, across.luma, top, rows),
        )
    by_row = fancy_down and not fancy_across
    added = tuple(
        _added(down.luma[0] if by_row else across.luma[0], high, fancy_down, fancy_across) for high in (False, True)
    )
    return _Plan(tall.kept, wide.kept, rows, down, across, added, by_row, strips)


def _below_each_other(picks: Sequence[Pick], columns: Sequence[Pick], top: int, rows: int) -> list[Copy]:
    places = ((pick.cut(top, top + rows), column) for pick in picks for column in columns)
    return [found for index, (pick, column) in enumerate(places) for found in copies(pick, column, index * rows)]


def _added(low: Pick, high: bool, fancy_down: bool, fancy_across: bool) -> array[float]:
    """What libjpeg adds before it truncates (jdsample.c), which changes with a place's parity, less chroma's middle."""
    odd = [(i + high) % 2 for i in low.indices]
    if fancy_across and fancy_down:
        return rounded([(8 - p) / 16 - 128 for p in odd])
    if fancy_across or fancy_down:
        return rounded([(1 + p) / 4 - 128 for p in odd])
    return rounded([-128.0] * len(odd))


class _Jpeg:
    """Luma, and the chroma around it before it is upsampled."""

    file = "jpeg.tflite"

    def __init__(self, jpeg: FastJpeg, plan: _Plan) -> None:
        self._jpeg, self._plan, self.height, self.rows = jpeg, plan, plan.height, plan.rows
        rows, width = plan.rows, plan.width
        added = (4, rows, 1) if plan.added_by_row else (4, 1, width)
        self.shapes: Shapes = *[(2, 3, rows, width)] * 3, (4, rows, width), (4, 1, width), (4, rows, 1), added

    def begin(self, machine: _Machine) -> None:
        if not machine.images:
            machine.images += [_new(self._jpeg.image, self._plan.width, count * self.rows) for count in (9, 4)]
        machine.put(4, *self._plan.across.shares)
        if not self._plan.added_by_row:
            machine.put(6, *self._plan.added * 2)

    def put(self, machine: _Machine, top: int) -> None:
        plan, end = self._plan, top + self.rows
        for target, wanted in zip(machine.images, plan.strips[top], strict=True):
            copy(self._jpeg.image, target, wanted)
        chroma, luma = machine.images
        planes = [memoryview(band(chroma, name)) for name in ("Cb", "Cr")]
        third = len(planes[0]) // 3
        for index in range(3):
            machine.put(index, *[plane[index * third : (index + 1) * third] for plane in planes])
        machine.put(3, band(luma, "Y"))
        machine.put(5, *[share[top:end] for share in plan.down.shares])
        if plan.added_by_row:
            low, high = (added[top:end] for added in plan.added)
            machine.put(6, low, low, high, high)


def _new(image: Image, width: int, height: int) -> Image:
    from PIL import Image as Pillow

    return Pillow.new(image.mode, (width, height))
