"""The arithmetic of TensorFlow's bilinear resize, and of libjpeg's chroma and colours before it, as four programs.

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
    chroma = _rows(graph, STRETCH + 1, 1)
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


def pairs() -> bytes:
    """The same of pairs that are not next to each other, where the first column of a pair is even or odd.

    Of chroma there are the stored samples before, at and behind the first column. `even` and `odd` are 1 where it is.
    """
    graph = Graph()
    chroma = zip(*[_rows(graph, STRETCH, 1) for _ in range(3)], strict=True)
    luma = [graph.samples(1, STRETCH) for _ in range(2)]
    even, odd = graph.samples(1, STRETCH), graph.samples(1, STRETCH, scale=2)
    added = [graph.samples(1, STRETCH, scale=1 / 16) for _ in range(2)]
    smooth = []
    for before, here, behind in chroma:
        nearer = graph.add(graph.multiply(here, graph.constant(3)), behind)
        first = graph.add(nearer, graph.multiply(graph.subtract(before, behind), even))
        second = graph.add(nearer, graph.multiply(graph.subtract(behind, here), odd))
        smooth.append([graph.floor(graph.add(*each)) for each in zip((first, second), added, strict=True)])
    pixels = [_colours(graph, *each) for each in zip(zip(*smooth, strict=True), luma, strict=True)]
    return graph.written(graph.interleaved([plane for planes in pixels for plane in planes]))


def full() -> bytes:
    """RGBX of pixels that have chroma of their own, but for the rows."""
    graph = Graph()
    chroma = _rows(graph, STRETCH, 4)
    luma, added = graph.samples(1, STRETCH), graph.samples(1, STRETCH, scale=1 / 16)
    smooth = [graph.floor(graph.add(rows, added)) for rows in chroma]
    return graph.written(graph.interleaved(_colours(graph, smooth, luma)))


def _rows(graph: Graph, length: int, parts: int) -> list[int]:
    """So many quarters of red and blue chroma less 128."""
    near = [graph.samples(1, length, scale=3 * parts / 16, zero=128) for _ in range(2)]
    others = [graph.samples(1, length, scale=parts / 16, zero=128) for _ in range(2)]
    return [graph.add(*pair) for pair in zip(near, others, strict=True)]


def _colours(graph: Graph, chroma: Sequence[int], luma: int) -> list[int]:
    """Red, green, blue and what is not looked at, of red and blue chroma less 128 (jdcolor.c); no sum is a tie."""
    (red, blue), (by_red, by_blue) = (
        [graph.multiply(one, graph.constant(factor / _UNIT)) for one, factor in zip(chroma, factors, strict=True)]
        for factors in ((91881, 116130), (-46802, -22554))
    )
    red, green, blue = (graph.eight_bits(graph.add(one, luma)) for one in (red, graph.add(by_red, by_blue), blue))
    return [red, green, blue, blue]


PROGRAMS = {f"{make.__name__}.tflite": make for make in (full, halved, lerps, pairs)}

if __name__ == "__main__":
    for name, make in PROGRAMS.items():
        (FOLDER / name).write_bytes(make())
