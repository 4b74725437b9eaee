"""Deletion and insertion curves of a model that sees one spot: their areas say how well a map knows it."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from classifier.bundles.serving import ModelShape, parse_serving
from classifier.engines.engine import Loaded
from tests.support.pictures import encoded, photo
from tools.benchmarks.explain import STEPS, Curves

if TYPE_CHECKING:
    from collections.abc import Buffer

SIZE = 48
SPOT = (slice(0, 24), slice(24, 48))
"""A quarter of the picture, the upper right."""


class Spotting:
    """Says with what share of its spot's pixels it has seen them as they are in the picture."""

    name = "spotting"

    def __init__(self) -> None:
        self.whole: Any = None

    def predict(self, picture: Buffer) -> array[float]:
        found = np.array(picture)[0][SPOT]
        if self.whole is None:
            self.whole = found
        seen = float((found == self.whole).all(-1).mean())
        return array("f", [seen, 1 - seen])


@pytest.fixture
def curves() -> Curves:
    serving = b'{"labels": ["seen", "not"], "preprocessing": {"filter": "bilinear", "scale": "tf"}}'
    engine: Any = Spotting()
    model = Loaded(engine, parse_serving(serving, None, ModelShape(SIZE, SIZE, 3, 2, "softmax")), {})
    made = Curves(model, encoded(photo(), "PNG"), "seen")
    engine.predict(made._sharp)
    return made


def test_a_map_of_the_spot_deletes_and_inserts_it_at_once(curves: Curves) -> None:
    spot = np.zeros((SIZE, SIZE))
    spot[SPOT] = 1
    deletion, insertion = curves.areas(spot)
    assert deletion == pytest.approx(1 / 8, abs=0.01)  # a triangle over the first quarter of the pixels
    assert insertion == pytest.approx(7 / 8, abs=0.03)  # blurred pixels may be like sharp ones
    wrong = curves.areas(-spot)
    assert wrong[0] == pytest.approx(7 / 8, abs=0.01)
    assert wrong[1] == pytest.approx(1 / 8, abs=0.03)


def test_a_map_of_chance_is_in_the_middle(curves: Curves) -> None:
    deletion, insertion = curves.areas(np.random.default_rng(0).random((SIZE, SIZE)))
    assert deletion == pytest.approx(0.5, abs=0.03)
    assert insertion == pytest.approx(0.5, abs=0.03)
    assert STEPS == 24
