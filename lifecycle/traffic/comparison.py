"""Two samples of pictures and answers held against each other, and what moved, in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from lifecycle.traffic.chance import Share, compare_clouds, compare_numbers, compare_shares, holm
from lifecycle.traffic.measures import NUMBERS

if TYPE_CHECKING:
    from lifecycle.traffic.measures import Measured

CHANCE = 0.01
"""One in a hundred comparisons of traffic that did not move says that something did."""
MOST_NAMED = 5
FEATURES = "features"


@dataclass(frozen=True, slots=True)
class Moved:
    """One thing that is compared: its statistic, and p after Holm's correction for all of them."""

    name: str
    statistic: float
    p: float
    told: str

    @property
    def is_more_than_chance(self) -> bool:
        """Whether it moved."""
        return self.p < CHANCE


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was compared, and the labels, the one that moved most first."""

    found: tuple[Moved, ...]
    labels: tuple[Share, ...]

    @property
    def moved(self) -> list[Moved]:
        """What moved by more than chance."""
        return [each for each in self.found if each.is_more_than_chance]

    @property
    def moved_labels(self) -> list[Share]:
        """The labels whose own shares moved."""
        if not self.found[0].is_more_than_chance:
            return []
        return [share for share in self.labels if share.p < CHANCE] or list(self.labels[:1])

    def lines(self) -> list[str]:
        """A line for each thing that was compared."""
        word = {True: "MOVED    ", False: "as it was"}
        return [f"{word[one.is_more_than_chance]} {one.name:<11} {one.told}, {_surprise(one.p)}" for one in self.found]

    def as_dict(self) -> dict[str, Any]:
        """As --json gives it."""
        return {
            "moved": [each.name for each in self.moved],
            "moved_labels": [share.label for share in self.moved_labels],
            "compared": [asdict(each) for each in self.found],
            "labels": [asdict(share) for share in self.labels],
        }


def compare(before: Measured, now: Measured) -> Comparison:
    """Hold `now` against `before`."""
    shares = compare_shares(before.labels, now.labels)
    tests = {name: compare_numbers(before.numbers[name], now.numbers[name]) for name in NUMBERS}
    if before.features and now.features:
        tests[FEATURES] = compare_clouds(before.features, now.features)
    corrected = holm([shares.p, *(p for _, p in tests.values())])
    plain = [Moved("labels", shares.chi_square, corrected[0], "")]
    for (name, (distance, _)), p in zip(tests.items(), corrected[1:], strict=True):
        if name == FEATURES:
            plain.append(
                Moved(name, distance, p, f"the model's own, of its last but one layer (distance {distance:.2g})")
            )
            continue
        middle = median(before.numbers[name]), median(now.numbers[name])
        told = f"{NUMBERS[name]}: median {middle[0]:.3g} -> {middle[1]:.3g} (distance {distance:.2f})"
        plain.append(Moved(name, distance, p, told))
    found = Comparison(tuple(plain), shares.labels)
    named = found.moved_labels[:MOST_NAMED] or shares.labels[:1]
    text = "; ".join(f"{one.label} {one.before:.1%} -> {one.now:.1%}" for one in named)
    labels = Moved("labels", shares.chi_square, corrected[0], text)
    return Comparison((labels, *plain[1:]), shares.labels)


def _surprise(p: float) -> str:
    """How often chance alone would do as much, after the correction."""
    if p < 0.002:
        return "which chance does less often than twice in 1,000"
    return f"which chance does in {p:.1%} of cases"
