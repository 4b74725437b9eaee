"""Parts of grids in fewer cells, by area, and their scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from classifier.explaining.grids import MOST, normalised, resampled

WHOLE = (0.0, 1.0)


def random(rows: int, columns: int) -> list[list[float]]:
    found: list[list[float]] = np.random.default_rng(rows).normal(size=(rows, columns)).tolist()
    return found


def by_area(
    grid: list[list[float]], tall: tuple[float, float], wide: tuple[float, float], size: tuple[int, int]
) -> Any:
    """The same by brute force: each cell of the grid is 60 x 60 samples, as is what a new cell covers."""
    fine = np.kron(np.asarray(grid), np.ones((60, 60)))
    top, bottom = (round(edge * len(fine)) for edge in tall)
    left, right = (round(edge * len(fine[0])) for edge in wide)
    part = fine[top:bottom, left:right]
    return part.reshape(size[0], len(part) // size[0], size[1], -1).mean((1, 3))


@pytest.mark.parametrize("size", [(1, 1), (6, 6), (7, 16), (16, 3)])
def test_a_small_grid_stays_as_it_is(size: tuple[int, int]) -> None:
    grid = random(*size)
    np.testing.assert_allclose(resampled(grid, WHOLE, WHOLE), grid, rtol=1e-12)


@pytest.mark.parametrize(
    ("size", "tall", "wide", "expected"),
    [
        ((20, 24), WHOLE, WHOLE, (MOST, MOST)),
        ((32, 8), WHOLE, WHOLE, (MOST, 8)),
        ((6, 6), (1 / 6, 5 / 6), WHOLE, (4, 6)),
        ((6, 6), (1 / 12, 11 / 12), (0.0, 0.25), (5, 2)),
        ((8, 8), (0.45, 0.55), WHOLE, (1, 8)),
    ],
)
def test_a_part_or_fewer_cells_are_means_by_area(
    size: tuple[int, int], tall: tuple[float, float], wide: tuple[float, float], expected: tuple[int, int]
) -> None:
    grid = random(*size)
    found = resampled(grid, tall, wide)
    assert (len(found), len(found[0])) == expected
    np.testing.assert_allclose(found, by_area(grid, tall, wide, expected), atol=1e-9)


def test_the_mean_of_a_whole_grid_is_kept() -> None:
    grid = random(37, 41)
    assert np.mean(resampled(grid, WHOLE, WHOLE)) == pytest.approx(np.mean(grid))


def test_the_least_becomes_0_and_the_largest_1() -> None:
    assert normalised([[-2.0, 0.0], [1.0, 2.0]]) == [[0.0, 0.5], [0.75, 1.0]]
    assert normalised([[3.0, 3.0]]) == [[0.0, 0.0]]
