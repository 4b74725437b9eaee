"""Intervals against what their authors published, and what follows from two models' requests."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from lifecycle.comparison import Comparison, compared, median, share, z_of

Z = z_of(0.95)


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_shares_have_the_intervals_of_newcombes_first_paper(count: int, of: int, low: float, high: float) -> None:
    """Statistics in Medicine 17, 1998, 857-872, table I, method 3."""
    found = share(count, of, Z)
    assert [found.low, found.high] == pytest.approx([low, high], abs=5e-5)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_differences_have_the_intervals_of_newcombes_second_paper(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    """Statistics in Medicine 17, 1998, 873-890, table II, method 10."""
    found = share(*one, Z).minus(share(*other, Z))
    assert [found.low, found.high] == pytest.approx([low, high], abs=5e-5)


def test_a_medians_interval_covers_it_as_often_as_it_says() -> None:
    chance = random.Random(3)
    hits = 0
    for _ in range(400):
        found = median([chance.expovariate(1.0) for _ in range(41)], Z)
        hits += found.low <= math.log(2) <= found.high
    assert 0.93 < hits / 400 < 0.99
    assert median([1.0, 2.0], Z).high == math.inf
    assert median([], Z).low == 0.0


def lines(role: str, count: int, errors: int, ms: float = 10.0, **more: Any) -> list[dict[str, Any]]:
    version = {"version": f"{role} version"}
    good = [
        {
            "role": role,
            "status": 200,
            "ms": ms + number % 7,
            "label": "dress" if number % 3 else "hat",
            **version,
            **more,
        }
        for number in range(count - errors)
    ]
    return [*good, *({"role": role, "status": 500, "ms": ms} for _ in range(errors))]


def found(*given: list[dict[str, Any]]) -> Comparison:
    return compared([line for part in given for line in part], ("stable version", "canary version"))


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {row.measure: row.verdict for row in comparison.rows}


def test_two_equal_models_are_no_worse_once_there_are_enough_requests() -> None:
    few = found(lines("stable", 500, 0), lines("canary", 50, 0))
    assert verdicts(few)["errors"] == "not known yet"
    assert not few.enough
    assert 250 < few.missing < 700
    enough = found(lines("stable", 5000, 5), lines("canary", 1000, 1))
    assert verdicts(enough) == {"errors": "no worse", "median ms": "no worse"}
    assert (enough.enough, enough.worse()) == (True, [])
    assert {row.verdict for row in enough.label_rows} == {""}


def test_what_is_worse_is_named() -> None:
    assert found(lines("stable", 5000, 5), lines("canary", 500, 20)).worse() == ["errors"]
    assert found(lines("stable", 5000, 5), lines("canary", 900, 1, ms=20)).worse() == ["median ms"]
    unsure = found(lines("stable", 2000, 0, unsure=0), lines("canary", 600, 0, unsure=1))
    assert unsure.worse() == ["not sure"]
    assert found(lines("stable", 1000, 40), lines("canary", 1000, 0)).worse() == []


def test_labels_whose_share_moved_are_named() -> None:
    other = [{**line, "label": "hat"} for line in lines("canary", 300, 0)]
    assert {row.measure: row.verdict for row in found(lines("stable", 900, 0), other).label_rows} == {
        "dress": "moved",
        "hat": "moved",
    }


def test_lines_of_other_versions_are_another_times() -> None:
    assert found([{"role": "stable", "status": 200, "ms": 1.0, "version": "before"}]).stable.requests == 0


def test_a_shadow_says_how_often_the_two_differ() -> None:
    told = [{"shadow": "other"}] * 20 + [{"shadow": "same"}] * 70 + [{"shadow": "failed"}] * 10
    shadow = found([{"role": "stable", "status": 200, "ms": 1.0, **one} for one in told])
    assert shadow.disagreement.estimate == pytest.approx(20 / 90)
    assert shadow.shadow_failures.estimate == pytest.approx(0.1)
    assert shadow.disagreement.low > 0.14
