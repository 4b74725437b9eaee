"""Occlusion on pictures whose score is known to come from one place."""

from __future__ import annotations

import math
import time
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from classifier.arrays import shaped
from classifier.errors import OutOfTimeError
from classifier.explaining import occlusion as module
from classifier.explaining.occlusion import GRIDS, occlusion

if TYPE_CHECKING:
    from collections.abc import Buffer

SHAPE = (1, 32, 48, 3)
SPOT = (slice(20, 24), slice(6, 12))
"""Of the rows and columns: what the engine looks at."""


def picture(shape: tuple[int, ...] = SHAPE) -> memoryview[float]:
    pixels = np.zeros(shape, np.float32)
    pixels[0][SPOT] = 1
    return shaped(pixels.tobytes(), shape)


class Spotting:
    """Answers how bright the spot is; counts and keeps what it was asked."""

    def __init__(self, slow_s: float = 0.0) -> None:
        self.asked: list[Any] = []
        self.slow_s = slow_s

    def predict(self, given: Buffer) -> array[float]:
        self.asked.append(np.array(given))
        time.sleep(self.slow_s)
        return array("f", [float(np.asarray(given)[0][SPOT].mean())])


def soon(seconds: float = 60) -> float:
    return time.monotonic() + seconds


def explained(engine: Spotting, deadline: float, given: memoryview[float] | None = None) -> Any:
    return np.array(occlusion(engine.predict, lambda raw: raw[0], given or picture(), 1.0, deadline))


def test_the_place_that_counts_is_found() -> None:
    engine = Spotting()
    found = explained(engine, soon())
    assert found.shape == (16, 16)
    rows, columns = np.unravel_index(np.argsort(-found.ravel())[:4], found.shape)
    assert {*rows} <= {9, 10, 11, 12}  # 20 to 24 of 32 pixels
    assert {*columns} <= {1, 2, 3, 4}  # 6 to 12 of 48
    assert found[:6].max() == found[:, 9:].max() == 0
    assert len(engine.asked) == sum(places**2 for places in GRIDS)


def test_each_patch_has_the_pictures_mean_colour_and_nothing_else_is_changed() -> None:
    engine = Spotting()
    explained(engine, soon())
    original = np.asarray(picture())
    mean = original.mean((0, 1, 2))
    changed = np.zeros(SHAPE[1:3], int)
    for asked in engine.asked[: GRIDS[0] ** 2]:
        there = (asked != original).any(-1)[0]
        assert there.sum() == (SHAPE[1] // 4) * (SHAPE[2] // 4)
        np.testing.assert_allclose(asked[0][there], np.broadcast_to(mean, (there.sum(), 3)), rtol=1e-6)
        changed += there
    assert (changed == 1).all()


def test_finer_grids_wait_for_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUDGET_S", 0.0)
    engine = Spotting()
    assert explained(engine, soon()).shape == (4, 4)
    assert len(engine.asked) == 16


def test_without_time_for_the_coarsest_grid_it_is_an_error() -> None:
    with pytest.raises(OutOfTimeError, match="coarsest grid") as raised:
        explained(Spotting(0.01), soon(module.RESERVE_S + 0.05))
    assert (raised.value.status, raised.value.code) == (503, "processing_timeout")
    assert "no time to explain" in raised.value.public


def test_what_has_no_score_counts_as_nothing() -> None:
    found = occlusion(lambda _: array("f", [math.nan]), lambda raw: raw[0], picture(), 1.0, soon())
    assert np.array(found).max() == 0


def test_a_picture_smaller_than_the_grid_has_a_place_a_pixel() -> None:
    small = shaped(np.zeros((1, 3, 5, 1), np.float32).tobytes(), (1, 3, 5, 1))
    found = occlusion(
        lambda given: array("f", [float(np.asarray(given).sum())]), lambda raw: raw[0], small, 1.0, soon()
    )
    assert (len(found), len(found[0])) == (3, 5)
