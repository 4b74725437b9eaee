"""Occlusion (Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2).

A patch of the picture's mean colour covers one place after the other; where the label's score falls most, the model saw
what it took the picture for. Works for every model, at one answer of the engine a place: first few large patches, then
more and smaller ones while there is time; the map is the mean of the grids that were finished (large patches hide what
is said twice, small ones show where). Engines are built for one picture at a time, so these are asked in turn.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from classifier.arrays import FLOAT, FLOAT_BYTES, shaped
from classifier.errors import OutOfTimeError

if TYPE_CHECKING:
    from array import array
    from collections.abc import Buffer, Callable, Iterator

    from classifier.explaining.grids import Grid

GRIDS = (4, 8, 16)
"""Places along each axis, coarse to fine."""
REACH = 0.5
"""How far a patch reaches beyond its place on each side, in places; not on the coarsest grid."""
BUDGET_S = 3.0
"""No finer grid is begun that would not end by then, however much time the request has."""
RESERVE_S = 0.3
"""Kept back before the request's deadline."""


def occlusion(
    predict: Callable[[Buffer], array[float]],
    score: Callable[[array[float]], float],
    picture: memoryview[float],
    plain: float,
    deadline: float,
) -> Grid:
    """How much `score` falls below `plain`, that of the whole picture, for a patch at each place; 0 where it rises.

    `picture`: the model's input, as `classifier.arrays` has it. OutOfTimeError if not even the coarsest grid is done by
    the deadline (time.monotonic()).
    """
    patches = _Patches(picture)
    began, last = time.monotonic(), deadline - RESERVE_S
    grids: list[Grid] = []
    done = 0
    for places in GRIDS:
        rows, columns = min(places, patches.height), min(places, patches.width)
        now = time.monotonic()
        expected = (now - began) / done * rows * columns if done else 0.0
        if grids and now + expected > min(began + BUDGET_S, last):
            break
        fallen: list[float] = []
        for covered in patches.each(rows, columns, REACH if grids else 0.0):
            if time.monotonic() > last:
                break
            there = score(predict(covered))
            fallen.append(plain - there if math.isfinite(there) else 0.0)
        done += len(fallen)
        if len(fallen) < rows * columns:
            break
        grids.append([fallen[row * columns : (row + 1) * columns] for row in range(rows)])
    if not grids:
        raise OutOfTimeError(
            f"{done} of the coarsest grid's answers by the deadline",
            public="There was no time to explain the answer. Ask without explain, or give the function more memory.",
        )
    return _mean(grids)


def _mean(grids: list[Grid]) -> Grid:
    """The mean of grids over the same picture, in the places of the last, which is the finest; nothing below 0."""
    rows, columns = len(grids[-1]), len(grids[-1][0])
    return [
        [
            max(0.0, math.fsum(grid[row * len(grid) // rows][column * len(grid[0]) // columns] for grid in grids))
            / len(grids)
            for column in range(columns)
        ]
        for row in range(rows)
    ]


class _Patches:
    """A picture of shape (1, height, width, channels), and copies of it with a part covered."""

    def __init__(self, picture: memoryview[float]) -> None:
        assert picture.shape is not None
        _, self.height, self.width, self._channels = self._shape = tuple(picture.shape)
        self._original = bytes(picture.cast("B"))
        flat = memoryview(self._original).cast(FLOAT)
        count = self.height * self.width
        means = [math.fsum(flat[channel :: self._channels]) / count for channel in range(self._channels)]
        row = shaped(bytearray(self.width * self._channels * FLOAT_BYTES), (self.width * self._channels,))
        for channel, mean in enumerate(means):
            for column in range(self.width):
                row[column * self._channels + channel] = mean
        self._covering = bytes(row.cast("B"))

    def each(self, rows: int, columns: int, reach: float) -> Iterator[memoryview[float]]:
        """The picture with one place covered after the other, row by row; each is good until the next."""
        pixel = self._channels * FLOAT_BYTES
        line = self.width * pixel
        work = bytearray(self._original)
        picture = shaped(work, self._shape)
        for top, bottom in _spans(self.height, rows, reach):
            for left, right in _spans(self.width, columns, reach):
                for start in range(top * line + left * pixel, bottom * line, line):
                    work[start : start + (right - left) * pixel] = self._covering[left * pixel : right * pixel]
                yield picture
                work[top * line : bottom * line] = self._original[top * line : bottom * line]


def _spans(length: int, places: int, reach: float) -> list[tuple[int, int]]:
    """Where the patches of one axis begin and end, at least a pixel long."""
    step = length / places
    return [
        (max(0, round((at - reach) * step)), min(length, max(round((at + 1 + reach) * step), round(at * step) + 1)))
        for at in range(places)
    ]
