"""The arithmetic of TensorFlow's bilinear resize, and of libjpeg's chroma and colours before it, as two programs.

classifier/pictures/pipelines/bilinear.py runs them, and says what it gives them. `python -m tools.pixels.programs`
writes them anew; a test compares them with what is kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tools.pixels.graph import RELU, Graph

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parents[2] / "classifier" / "pictures" / "pipelines"
ROWS, COLUMNS = 2, 3
"""Sizes in the files, for which LiteRT is given others."""
_UNIT = 65536


def lerps() -> bytes:
    """Two interpolations: columns first, as TensorFlow does."""
    graph = Graph()
    left, right = graph.samples(2, ROWS, COLUMNS), graph.samples(2, ROWS, COLUMNS)
    across, down = graph.numbers(1, 1, COLUMNS), graph.numbers(1, ROWS, 1)
    upper, lower = graph.split(graph.lerp(left, right, across), 2, 0)
    return graph.written(graph.lerp(upper, lower, down))


def jpeg() -> bytes:
    """The same of what libjpeg makes of luma and chroma at four places (jdsample.c, jdcolor.c): exact in float32."""
    graph = Graph()
    chroma = [graph.samples(2, 3, ROWS, COLUMNS, scale=1 / 16) for _ in range(3)]
    luma = graph.samples(4, ROWS, COLUMNS)
    across, down = graph.numbers(4, 1, COLUMNS), graph.numbers(4, ROWS, 1)
    added = graph.split(graph.numbers(4, 1, COLUMNS), 4, 0)
    *shares_across, fraction_across = graph.split(across, 4, 0)
    *shares_down, fraction_down = graph.split(down, 4, 0)
    pixels: list[tuple[int, int]] = []
    brightness = iter(graph.split(luma, 4, 0))
    for row in _upsampled(graph, chroma, shares_down):
        for both in _upsampled(graph, graph.split(row, 3, 1), shares_across):
            centred = graph.floor(graph.add(both, added[len(pixels)]))
            pixels.append(_colours(graph, centred, next(brightness)))
    upper, lower = [
        [graph.lerp(left, right, fraction_across) for left, right in zip(*pair, strict=True)]
        for pair in (pixels[:2], pixels[2:])
    ]
    blue_red, green = [graph.lerp(one, other, fraction_down) for one, other in zip(upper, lower, strict=True)]
    blue, red = graph.split(blue_red, 2, 0)
    planes = graph.joined([red, green, blue], 0)
    return graph.written(graph.transposed(planes, (2, 3, 0, 1)))


def _upsampled(graph: Graph, samples: Sequence[int], shares: Sequence[int]) -> tuple[int, int]:
    """Two places next to each other, four times as large, out of three stored samples.

    Of the nearer sample three parts, of the other one part (jdsample.c). Which is which follows from the first place:
    `even` chooses the first one's other sample, `here` and `there` are the parts of the second one.
    """
    before, middle, behind = samples
    even, here, there = shares
    low = graph.add(graph.lerp(behind, before, even), graph.multiply(middle, graph.constant(3)))
    return low, graph.add(graph.multiply(middle, here), graph.multiply(behind, there))


def _colours(graph: Graph, chroma: int, luma: int) -> tuple[int, int]:
    """Blue and red, and green, of 0 to 255, from blue and red chroma less 128. No product of red or blue is a tie."""
    white, half = graph.constant(255), graph.constant(0.5)
    shape = (2, 1, 1, 1)
    blue_red = graph.round(graph.multiply(chroma, graph.constant([116130 / _UNIT, 91881 / _UNIT], shape)))
    parts = graph.multiply(chroma, graph.constant([-22554 / _UNIT, -46802 / _UNIT], shape))
    green = graph.floor(graph.add(graph.total(parts, 0), half))
    both, third = graph.add(blue_red, luma, RELU), graph.add(green, luma, RELU)
    return graph.least(both, white), graph.least(third, white)


PROGRAMS = {"jpeg.tflite": jpeg, "lerps.tflite": lerps}

if __name__ == "__main__":
    for name, make in PROGRAMS.items():
        (FOLDER / name).write_bytes(make())
