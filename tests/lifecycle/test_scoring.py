"""What speaks against a model that was tried on pictures."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from lifecycle.scoring import at_least, faults, judge, share


def quality(answers: str, truth: str) -> object:
    """Judged scores of a model that names `answers` (letters a, b, c) for pictures of `truth`."""
    scores = np.full((len(answers), 3), 0.1, np.float32)
    scores[np.arange(len(answers)), ["abc".index(one) for one in answers]] = 0.8
    return judge(scores, ["abc".index(one) for one in truth])


@pytest.mark.parametrize(
    ("answers", "truth", "least", "expected"),
    [
        ("a" * 30, "abc" * 10, None, ["every picture gets the label 'a'"]),
        ("abc" * 10, "abc" * 10, None, []),
        ("abc" * 10, "abc" * 10, 1.0, []),
        ("aab" * 10, "abc" * 10, None, ["33.3% right is no better than guessing, which is right 33.3%"]),
        ("a" * 10 + "b" * 10, "ab" * 10, None, ["50.0% right is no better than guessing, which is right 50.0%"]),
        ("a" * 18 + "bb", "a" * 18 + "bc", None, ["95.0% right is no better than guessing, which is right 90.0%"]),
        ("a" * 19, "ab" * 9 + "a", None, []),  # too few to tell
        ("a" * 30, "a" * 30, None, []),  # one class only
        ("abc" * 9 + "aaa", "abc" * 10, 0.95, ["93.3% of 30 pictures are right, at least 95.0% must be"]),
        ("abc" * 9 + "aaa", "abc" * 10, 0.93, []),
    ],
)
def test_what_speaks_against_a_model(answers: str, truth: str, least: float | None, expected: list[str]) -> None:
    assert faults(quality(answers, truth), "abc", least) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("right", "pictures", "most", "expected"), [(15, 20, 10, 0.0207), (14, 20, 10, 0.0577), (8, 10, 5, 0.0547)]
)
def test_the_binomial_tail_is_that_of_the_tables(right: int, pictures: int, most: int, expected: float) -> None:
    # Table of cumulative binomial probabilities for p = 0.5, found in every textbook of statistics.
    assert at_least(right, pictures, most / pictures) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("right", "pictures", "most"), [(1560, 3000, 1500), (3000, 3000, 2999), (40, 100, 30)])
def test_the_binomial_tail_of_many_pictures_is_that_of_whole_numbers(right: int, pictures: int, most: int) -> None:
    ways = sum(
        math.comb(pictures, count) * most**count * (pictures - most) ** (pictures - count)
        for count in range(right, pictures + 1)
    )
    assert at_least(right, pictures, most / pictures) == pytest.approx(
        float(Fraction(ways, pictures**pictures)), rel=1e-8
    )


@pytest.mark.parametrize(("text", "value"), [("0.9", 0.9), ("90%", 0.9), ("1", 1.0), ("0", 0.0)])
def test_a_share_is_read(text: str, value: float) -> None:
    assert share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["90", "-1", "x", "nan", "101%", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    import argparse

    with pytest.raises(argparse.ArgumentTypeError, match="expected a share"):
        share(text)
