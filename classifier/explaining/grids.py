"""Small grids of numbers, rows top to bottom: a part of one, in fewer cells, and scaled to 0..1. Plain Python."""

from __future__ import annotations

import math

type Grid = list[list[float]]
type Span = tuple[float, float]

MOST = 16
"""Rows and columns of a map in a reply at most."""
DIGITS = 3
_LEAST_RANGE = 1e-9
_ALMOST = 1e-6


def resampled(grid: Grid, tall: Span, wide: Span, most: int = MOST) -> Grid:
    """The part of a grid between two fractions of its height and of its width, in as many cells as it has there.

    At most `most` rows and columns. Each new cell is the mean of what it covers, by area; a whole grid that is small
    enough comes back as it is.
    """
    rows = _weights(len(grid), tall, most)
    columns = _weights(len(grid[0]), wide, most)
    narrow = [[math.fsum(row[at] * weight for at, weight in cell) for cell in columns] for row in grid]
    return [
        [math.fsum(narrow[at][column] * weight for at, weight in cell) for column in range(len(columns))]
        for cell in rows
    ]


def normalised(grid: Grid) -> Grid:
    """The least number becomes 0, the largest 1, rounded to three digits; all zeros where they are the same."""
    least, largest = min(map(min, grid)), max(map(max, grid))
    span = largest - least
    if span < _LEAST_RANGE * max(1.0, abs(largest)):
        return [[0.0] * len(row) for row in grid]
    return [[round((number - least) / span, DIGITS) for number in row] for row in grid]


def _weights(cells: int, span: Span, most: int) -> list[list[tuple[int, float]]]:
    """For each new cell of an axis the old ones that it covers, with their shares."""
    first, end = span[0] * cells, span[1] * cells
    count = max(1, min(most, math.ceil(end - first - _ALMOST)))
    step = (end - first) / count
    found = []
    for index in range(count):
        low, high = first + index * step, first + (index + 1) * step
        shares = [(at, min(high, at + 1) - max(low, at)) for at in range(int(low), min(cells, math.ceil(high)))]
        kept = [(at, share / step) for at, share in shares if share > _ALMOST * step]
        total = math.fsum(share for _, share in kept)
        found.append([(at, share / total) for at, share in kept])
    return found
