"""How good a model's scores are on pictures whose class is known: accuracy, confusion, calibration.

Calibration after Guo et al., "On Calibration of Modern Neural Networks" (2017): fifteen bins of equal width by the best
label's score; the expected calibration error is the mean over pictures of |accuracy - confidence| of their bin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

BINS = 15
ENOUGH_TO_TELL = 20
"""Pictures from which on a model is compared with guessing."""
CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Bin:
    """Pictures whose best score is in (low, high]: how many, their mean best score, and how many of them are right."""

    low: float
    high: float
    pictures: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What an engine's scores came to; `confusion` counts by [true class][best label]."""

    pictures: int
    accuracy: float
    calibration_error: float
    bins: tuple[Bin, ...]
    confusion: tuple[tuple[int, ...], ...]

    def as_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """As --json gives it."""
        bins = [{name: getattr(each, name) for name in Bin.__slots__} for each in self.bins]
        return {
            "pictures": self.pictures,
            "accuracy": self.accuracy,
            "calibration_error": self.calibration_error,
            "bins": bins,
            "labels": list(labels),
            "confusion": [list(row) for row in self.confusion],
        }


def share(text: str) -> float:
    """A share of 1, or a percentage."""
    import argparse

    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share such as 0.9 or 90%")
    return value


def faults(quality: Quality, labels: Sequence[str], least: float | None) -> list[str]:
    """What speaks against a model of this quality, a sentence each; `least` is the share of right answers asked for.

    It is no better than guessing when always naming the most frequent class would be right as often, by chance, in more
    than one of twenty sets of as many pictures (one-sided exact binomial test).
    """
    found = []
    if least is not None and quality.accuracy < least:
        found.append(f"{quality.accuracy:.1%} of {quality.pictures} pictures are right, at least {least:.1%} must be")
    of_class = [sum(row) for row in quality.confusion]
    named = [sum(column) for column in zip(*quality.confusion, strict=True)]
    guessing = max(of_class) / quality.pictures
    if quality.pictures >= ENOUGH_TO_TELL and sum(map(bool, of_class)) > 1:
        if max(named) == quality.pictures:
            found.append(f"every picture gets the label {labels[named.index(max(named))]!r}")
        elif at_least(round(quality.accuracy * quality.pictures), quality.pictures, guessing) > CHANCE:
            found.append(f"{quality.accuracy:.1%} right is no better than guessing, which is right {guessing:.1%}")
    return found


def at_least(count: int, of: int, share: float) -> float:
    """The probability of `count` or more of `of`, each with that share: the binomial distribution's upper tail."""
    if count <= 0 or share >= 1:
        return 1.0
    if share <= 0:
        return 0.0
    ways = (math.lgamma(of + 1) - math.lgamma(each + 1) - math.lgamma(of - each + 1) for each in range(count, of + 1))
    odds = (each * math.log(share) + (of - each) * math.log1p(-share) for each in range(count, of + 1))
    # By logarithms: of a thousand pictures there are more ways than a float holds.
    return math.fsum(math.exp(way + odd) for way, odd in zip(ways, odds, strict=True))


def judge(scores: NDArray[np.floating[Any]], classes: Sequence[int]) -> Quality:
    """Judge scores of shape (pictures, labels) against the index of each picture's class."""
    import numpy as np

    true = np.asarray(classes)
    best = scores.argmax(1)
    confidence, right = scores.max(1).astype(float), best == true
    bins = tuple(_bins(confidence, right))
    confusion = np.zeros((scores.shape[1], scores.shape[1]), int)
    np.add.at(confusion, (true, best), 1)
    error = sum(each.pictures * abs(each.accuracy - each.confidence) for each in bins) / len(true)
    return Quality(
        pictures=len(true),
        accuracy=float(right.mean()),
        calibration_error=float(error),
        bins=bins,
        confusion=tuple(tuple(map(int, row)) for row in confusion),
    )


def _bins(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Bin]:
    found = []
    for low, high in pairwise(index / BINS for index in range(BINS + 1)):
        inside = (confidence > low) & (confidence <= high)
        if count := int(inside.sum()):
            found.append(Bin(low, high, count, float(confidence[inside].mean()), float(right[inside].mean())))
    return found
