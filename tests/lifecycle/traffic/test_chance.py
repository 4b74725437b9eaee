"""Permutation tests against what is known exactly: probabilities that can be counted by hand, and Holm's definition."""

from __future__ import annotations

from itertools import combinations
from math import comb
from statistics import pstdev

import pytest

from lifecycle.traffic import chance
from lifecycle.traffic.chance import REST, RIDGE, compare_clouds, compare_numbers, compare_shares, holm


@pytest.fixture(autouse=True)
def to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """As exact as it gets."""
    monkeypatch.setattr(chance, "ENOUGH", 10**9)


def exact_ks(before: list[float], now: list[float]) -> tuple[float, float]:
    """The distance by its definition, and the share of all dealings that reach it: every one is looked at."""
    values = [*before, *now]

    def distance(mine: tuple[int, ...]) -> float:
        first = [values[index] for index in mine]
        second = [value for index, value in enumerate(values) if index not in mine]
        below = [
            abs(sum(x <= value for x in first) / len(first) - sum(x <= value for x in second) / len(second))
            for value in values
        ]
        return max(below)

    seen = distance(tuple(range(len(before))))
    dealt = [distance(mine) for mine in combinations(range(len(values)), len(before))]
    return seen, sum(one >= seen - 1e-9 for one in dealt) / len(dealt)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]),
        ([1.0, 2.0, 3.0, 9.0, 9.0], [4.0, 5.0, 9.0, 9.0]),  # ties within and between
        ([0.5] * 4, [0.5] * 3),
        ([0.1, 0.2, 0.6, 0.9, 0.95], [0.15, 0.3, 0.62, 0.8]),
    ],
)
def test_distance_and_its_chance_are_those_of_all_dealings(before: list[float], now: list[float]) -> None:
    distance, p = compare_numbers(before, now)
    exact, share = exact_ks(before, now)
    assert distance == pytest.approx(exact)
    assert p == pytest.approx(share, abs=0.025)


def test_chi_square_and_its_chance_are_those_of_the_hypergeometric_distribution() -> None:
    """Two labels: the count of the first decides all (Fisher's exact test, with chi-square as the order)."""
    first, second, size, everything = 16, 14, 15, 30

    def chi_square(count: int) -> float:
        cells = [(count, first, size), (size - count, second, size)]
        cells += [(total - cell, total, everything - size) for cell, total, _ in cells]
        return sum((cell - of * total / everything) ** 2 / (of * total / everything) for cell, total, of in cells)

    probability = {
        count: comb(first, count) * comb(second, size - count) / comb(everything, size)
        for count in range(max(0, size - second), min(first, size) + 1)
    }
    found = compare_shares(["a"] * 11 + ["b"] * 4, ["a"] * 5 + ["b"] * 10)
    assert found.chi_square == pytest.approx(chi_square(11))
    exact = sum(share for count, share in probability.items() if chi_square(count) >= chi_square(11) - 1e-9)
    assert found.p == pytest.approx(exact, abs=0.015)
    assert [share.p for share in found.labels] == pytest.approx([exact, exact], abs=0.015)


def test_rare_labels_count_together_and_shares_are_of_their_samples() -> None:
    before, now = ["a"] * 30 + ["x", "y"], ["a"] * 10 + ["z"] * 2 + ["new"] * 8
    found = compare_shares(before, now)
    assert {share.label for share in found.labels} == {"a", "new", REST}
    shares = {share.label: (share.before, share.now) for share in found.labels}
    assert shares["new"] == pytest.approx((0, 0.4))
    assert shares[REST] == pytest.approx((2 / 32, 2 / 20))
    assert found.labels[0].label == "new"
    assert found.labels[0].p < 0.01


def test_one_label_in_both_is_no_difference() -> None:
    assert compare_shares(["a"] * 9, ["a"] * 5).p == 1


def test_holms_correction_is_its_definition() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.5]) == [1.0, 1.0]


def test_a_thousand_labels_are_dealt_within_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chance, "DEALS", 99)
    labels = [f"label {number % 1000}" for number in range(6000)]
    assert compare_shares(labels, labels[:5000]).p > 0.05


def test_the_energy_distance_is_scipys_and_its_p_the_share_of_dealings() -> None:
    before, now = [0.0, 1, 3, 4], [5.0, 6, 8, 2, 9]
    seen, p = compare_clouds([(each,) for each in before], [(each,) for each in now])
    # SciPy 1.17.1: energy_distance(before, now) ** 2 == 4.13; ours is in units of the spread of all.
    scale = pstdev([*before, *now]) * (1 + RIDGE**2) ** 0.5
    assert seen == pytest.approx(4.13 / scale, rel=1e-5)

    def distance(mine: tuple[int, ...]) -> float:
        values = [*before, *now]
        first, second = [values[i] for i in mine], [each for i, each in enumerate(values) if i not in mine]
        means = [
            sum(abs(x - y) for x in one for y in other) / (len(one) * len(other))
            for one, other in ((first, second), (first, first), (second, second))
        ]
        return 2 * means[0] - means[1] - means[2]

    dealt = [distance(mine) for mine in combinations(range(9), 4)]
    assert distance((0, 1, 2, 3)) == pytest.approx(4.13)
    assert p == pytest.approx(sum(one >= 4.13 - 1e-6 for one in dealt) / len(dealt), abs=0.01)
