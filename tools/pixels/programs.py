"""The arithmetic of TensorFlow's bilinear resize, and of libjpeg's chroma and colours before it, as three programs.

classifier/pictures/pipelines/ runs them: bilinear.py and samples.py. `python -m tools.pixels.programs`
writes them anew; a test compares them with what is kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tools.pixels.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parents[2] / "classifier" / "pictures" / "pipelines"
ROWS, COLUMNS = 2, 3
"""Sizes in the files, for which LiteRT is given others."""
STRETCH = (1 << 14) - 1
"""Stored samples of a JPEG that are worked on at once, whatever rows they are of."""
_UNIT = 65536


def lerps() -> bytes:
    """Two interpolations: columns first, as TensorFlow does."""
    graph = Graph()
    upper_left, lower_left, upper_right, lower_right = [graph.samples(ROWS, COLUMNS) for _ in range(4)]
    across, down = graph.numbers(1, COLUMNS), graph.numbers(ROWS, 1)
    upper, lower = graph.lerp(upper_left, upper_right, across), graph.lerp(lower_left, lower_right, across)
    return graph.written(graph.lerp(upper, lower, down))


def halved() -> bytes:
    """RGBX of pixels whose chroma was stored for every second column only: pairs of an odd column and the next one.

    Chroma at a row is three parts of the `near` stored row and one of the other; at a column, three parts of the nearer
    stored sample and one of the other (jdsample.c). Of chroma there is one sample more, the one before the first pair.
    """
    graph = Graph()
    chroma = _rows(graph, STRETCH + 1, 16)
    luma, added = [[graph.samples(1, STRETCH) for _ in range(2)], [graph.numbers(1, 1) for _ in range(2)]]
    before, behind = [[graph.part(rows, first, STRETCH) for rows in chroma] for first in range(2)]
    pixels = []
    for nearer, others, number, brightness in zip((before, behind), (behind, before), added, luma, strict=True):
        smooth = [
            graph.floor(graph.add(graph.add(graph.multiply(near, graph.constant(3)), number), other))
            for near, other in zip(nearer, others, strict=True)
        ]
        pixels += _colours(graph, smooth, brightness)
    return graph.written(graph.interleaved(pixels))


def full() -> bytes:
    """RGBX of pixels that have chroma of their own, but for the rows."""
    graph = Graph()
    chroma = _rows(graph, STRETCH, 4)
    luma, added = graph.samples(1, STRETCH), graph.samples(1, STRETCH, scale=1 / 4)
    smooth = [graph.floor(graph.add(rows, added)) for rows in chroma]
    return graph.written(graph.interleaved(_colours(graph, smooth, luma)))


def _rows(graph: Graph, length: int, whole: int) -> list[int]:
    """Red and blue chroma less 128 in so many parts of the whole."""
    near = [graph.samples(1, length, scale=3 / whole, zero=128) for _ in range(2)]
    others = [graph.samples(1, length, scale=1 / whole, zero=128) for _ in range(2)]
    return [graph.add(*pair) for pair in zip(near, others, strict=True)]


def _colours(graph: Graph, chroma: Sequence[int], luma: int) -> list[int]:
    """Red, green, blue and what is not looked at, of red and blue chroma less 128 (jdcolor.c); no sum is a tie."""
    (red, blue), (by_red, by_blue) = (
        [graph.multiply(one, graph.constant(factor / _UNIT)) for one, factor in zip(chroma, factors, strict=True)]
        for factors in ((91881, 116130), (-46802, -22554))
    )
    red, green, blue = (graph.eight_bits(graph.add(one, luma)) for one in (red, graph.add(by_red, by_blue), blue))
    return [red, green, blue, blue]


PROGRAMS = {"full.tflite": full, "halved.tflite": halved, "lerps.tflite": lerps}

if __name__ == "__main__":
    for name, make in PROGRAMS.items():
        (FOLDER / name).write_bytes(make())
