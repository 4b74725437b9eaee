"""Arrays without numpy: their form, and decimals held against numpy's."""

from __future__ import annotations

import math
from array import array

import numpy as np
import pytest

from classifier import arrays


def test_a_shaped_buffer_is_numpys_array_of_the_same_memory() -> None:
    found = arrays.zeros((1, 2, 3, 3))
    seen = np.asarray(found)
    assert (seen.shape, seen.dtype.name, seen.flags.c_contiguous) == ((1, 2, 3, 3), "float32", True)
    seen[0, 1, 2, 0] = 0.5
    assert found[0, 1, 2, 0] == 0.5


def test_a_numpy_array_can_be_shaped_and_flattened() -> None:
    given = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    assert np.asarray(arrays.shaped(given, (3, 2))).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert arrays.floats(given) == array("f", range(6))


@pytest.mark.parametrize("given", [np.zeros((2, 3), np.float32).T, np.zeros((2, 3), np.float32)[:, ::2]])
def test_what_is_not_contiguous_is_refused(given: np.ndarray) -> None:
    with pytest.raises(TypeError):
        arrays.shaped(given, given.shape)


def test_the_shortest_decimals_are_numpys() -> None:
    random = np.random.default_rng(1)
    any_bits = random.integers(0, 1 << 32, 5000, dtype=np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):
        finite = any_bits[np.isfinite(any_bits)]
    edges = np.array([0, 1, 0.1, 0.2, 1e-45, 1.1e-38, np.finfo(np.float32).tiny, np.finfo(np.float32).max], np.float32)
    for numbers in (random.random(5000, np.float32), finite, edges):
        expected = [float(text) for text in numbers.astype(str)]
        found = arrays.shortest(arrays.floats(numbers))
        assert array("f", found) == arrays.floats(numbers)
        assert sum(ours != theirs for ours, theirs in zip(found, expected, strict=True)) <= 1  # a power of two


def test_the_shortest_decimal_of_no_number_is_that_again() -> None:
    assert math.isnan(arrays.shortest([math.nan])[0])
    assert arrays.shortest([math.inf, -math.inf]) == [math.inf, -math.inf]
