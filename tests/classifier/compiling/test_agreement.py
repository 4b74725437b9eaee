"""Two ways to run one model agree as far as callers see: in scores, relative where they are quantities, in labels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from classifier.bundles.scores import Head, Output
from classifier.bundles.serving import Serving
from classifier.compiling.agreement import compared
from classifier.pictures.preprocessing import Preprocessing

NAN = float("nan")


def serving(output: Output, units: int) -> Serving:
    head = Head("", tuple(map(str, range(units))), output, 5, units, "")
    return Serving((head,), Preprocessing(size=(8, 8)), (8, 8, 3))


@pytest.mark.parametrize(
    ("output", "own", "reference", "difference"),
    [
        ("softmax", [0.25, 0.75], [0.5, 0.5], 0.25),
        ("regression", [50.0005, 1.0], [50.0, 1.0], 1e-5),  # five in ten million of what callers see
        ("regression", [0.5, 1.0], [0.25, 1.0], 0.25),
        ("logits", [50.0005, 0.0], [50.0, 0.0], 0.0),
        ("softmax", [NAN, 0.5], [0.5, 0.5], NAN),
    ],
)
def test_differences_are_those_of_scores(
    output: Output, own: list[float], reference: list[float], difference: float
) -> None:
    rows = [np.array([numbers], np.float32) for numbers in (own, reference)]
    found = compared(serving(output, 2), rows[0], rows[1], ["black"])
    assert found.largest_difference == pytest.approx(difference, abs=1e-7, nan_ok=True)
    assert bool(found.refusal("Keras", 1e-4)) == (not difference <= 1e-4)


def test_probes_for_which_the_reference_gives_no_number_are_left_out_and_named() -> None:
    reference = np.array([[NAN, NAN], [0.4, 0.6]], np.float32)
    own = np.array([[NAN, NAN], [0.4, 0.6]], np.float32)
    found = compared(serving("softmax", 2), own, reference, ["black", "ramp"])
    assert (found.largest_difference, found.top_label, found.left_out) == (0.0, 1.0, ("black",))
    nothing = compared(serving("softmax", 2), own[:1], reference[:1], ["black"])
    assert math.isnan(nothing.largest_difference)
    assert "nan" in nothing.refusal("Keras", 1e-4)


def test_another_best_label_is_told_but_not_of_quantities() -> None:
    own, reference = np.array([[0.50003, 0.49997]], np.float32), np.array([[0.49997, 0.50003]], np.float32)
    assert "top label" in compared(serving("softmax", 2), own, reference, ["ramp"]).refusal("Keras", 1e-4)
    assert compared(serving("regression", 2), own, reference, ["ramp"]).refusal("Keras", 1e-4) == ""
