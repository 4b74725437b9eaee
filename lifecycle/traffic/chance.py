"""Whether two samples differ by more than chance: permutation tests, which are right for small samples and ties, too.

Under the hypothesis that nothing moved, which sample a picture is in is arbitrary: a statistic counts as surprising as
the share of re-dealings that reach it. With R of them p = (1 + those that do) / (1 + R), which is a valid p-value
(Phipson and Smyth, "Permutation P-values Should Never Be Zero", 2010). Statistics: Pearson's chi-square of homogeneity
for shares; Kolmogorov-Smirnov's largest distance of distribution functions for numbers; the energy distance for points
in many dimensions. Several at once are corrected
by Holm's method (1979), the labels among themselves by Westfall and Young's maxT (1993).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    type Point = Sequence[float]

DEALS = 4_999
"""Re-dealings of a test: the least p is 1 / 5,000, an eighth of what Holm asks of the first of six at 1 %."""
RIDGE = 0.03
"""Of the largest standard deviation: directions with less than that are noise of few digits, not information."""
MOST_POINTS = 1_000
"""Of each sample: their distances then take 16 MB."""
ENOUGH = 100
"""A test ends once so many have reached the statistic: its p is then above 2 %, whatever the rest would say."""
CHUNK = 250
LEAST_COUNT = 5
"""Labels that are rarer in both samples together are counted as one (Cochran's rule for chi-square)."""
REST = "(rarer labels)"


@dataclass(frozen=True, slots=True)
class Share:
    """A label's share in each sample, and how surprising the difference is among all labels."""

    label: str
    before: float
    now: float
    p: float


@dataclass(frozen=True, slots=True)
class Shares:
    """All labels, the largest difference first, and how surprising they are together."""

    chi_square: float
    p: float
    labels: tuple[Share, ...]


def compare_shares(before: Sequence[str], now: Sequence[str], seed: int = 0) -> Shares:
    """Labels of the one sample against those of the other; neither may be empty."""
    import numpy as np

    total = Counter(before) + Counter(now)
    named = {label: label if total[label] >= LEAST_COUNT else REST for label in total}
    first, second = (Counter(named[label] for label in sample) for sample in (before, now))
    labels = sorted({*first, *second})
    seen = np.array([first[label] for label in labels], np.int64)
    pooled = seen + np.array([second[label] for label in labels], np.int64)
    size, everything = len(before), len(before) + len(now)
    expected = size * pooled / everything
    spread = expected * (1 - pooled / everything) * (everything - size) / max(1, everything - 1)
    generator = np.random.default_rng(seed)

    def statistics(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Chi-square and each label's |z|, of counts in the first sample."""
        apart = counts - expected
        chi_square = (apart**2 / pooled).sum(-1) * everything**2 / (size * (everything - size))
        return chi_square, np.abs(apart) / np.sqrt(np.where(spread > 0, spread, np.inf))

    chi_square, z = statistics(seen)
    reached, done, higher = 0, 0, np.zeros(len(labels), np.int64)
    while done < DEALS and reached < ENOUGH:
        done += (chunk := min(CHUNK, DEALS - done))
        dealt, dealt_z = statistics(generator.multivariate_hypergeometric(pooled, size, chunk))
        reached += int((dealt >= chi_square * (1 - 1e-9)).sum())
        higher += (dealt_z.max(-1)[:, None] >= z * (1 - 1e-9)).sum(0)
    shares = [
        Share(label, first[label] / size, second[label] / len(now), float((1 + count) / (1 + done)))
        for label, count in zip(labels, higher, strict=True)
    ]
    ordered = sorted(shares, key=lambda one: (one.p, -abs(one.now - one.before)))
    return Shares(float(chi_square), (1 + reached) / (1 + done), tuple(ordered))


def compare_numbers(before: Sequence[float], now: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Kolmogorov-Smirnov's distance and its p; ties, of which pictures' sizes are full, are taken for what they are."""
    import numpy as np

    values = np.array([*before, *now], np.float64)
    order = np.argsort(values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    mine = (np.arange(len(values)) < len(before))[order]
    generator = np.random.default_rng(seed)

    def distance(members: NDArray[np.bool_]) -> NDArray[np.float64]:
        steps = np.where(members, 1 / len(before), -1 / len(now))
        found: NDArray[np.float64] = np.abs(steps.cumsum(-1)[..., ends]).max(-1)
        return found

    seen, reached, done = float(distance(mine)), 0, 0
    while done < DEALS and reached < ENOUGH:
        done += (chunk := min(CHUNK, DEALS - done))
        dealt = generator.permuted(np.broadcast_to(mine, (chunk, len(mine))), axis=1)
        reached += int((distance(dealt) >= seen - 1e-9).sum())
    return seen, (1 + reached) / (1 + done)


def compare_clouds(before: Sequence[Point], now: Sequence[Point], seed: int = 0) -> tuple[float, float]:
    """The energy distance of two samples of points and its p; of more than 1,000 points those that chance draws.

    Twice the mean distance between the samples less the mean distances within each, 0 for equal distributions (Szekely
    and Rizzo, "Testing for Equal Distributions in High Dimension", 2004). Distances are Mahalanobis's: both samples
    together have the same spread in every direction, as else what tells classes apart would drown all else.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    drawn = [
        points[generator.choice(len(points), min(len(points), MOST_POINTS), replace=False)]
        for points in (np.array(before, np.float64), np.array(now, np.float64))
    ]
    points, size = _whitened(np.concatenate(drawn)), len(drawn[0])
    squares = (points**2).sum(1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)).astype(np.float32)
    weights = np.where(np.arange(len(points)) < size, 1 / size, -1 / len(drawn[1])).astype(np.float32)

    def distance(dealt: NDArray[np.float32]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = -((dealt @ apart) * dealt).sum(-1, dtype=np.float64)
        return found

    seen, reached, done = float(distance(weights[None])[0]), 0, 0
    while done < DEALS and reached < ENOUGH:
        done += (chunk := min(CHUNK, DEALS - done))
        dealt = generator.permuted(np.broadcast_to(weights, (chunk, len(weights))), axis=1)
        reached += int((distance(dealt) >= seen - 1e-6 * abs(seen)).sum())
    return seen, (1 + reached) / (1 + done)


def _whitened(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """With unit variance in all directions but those of next to none, which are left small."""
    import numpy as np

    left, spread, _ = np.linalg.svd(points - points.mean(0), full_matrices=False)
    least = RIDGE * max(float(spread[0]), np.finfo(float).tiny)
    found: NDArray[np.float64] = left * np.sqrt(len(points)) * spread / np.hypot(spread, least)
    return found


def holm(given: Sequence[float]) -> list[float]:
    """The p-values as they count when any of them being small by chance is the error to avoid, in their order."""
    found, largest = [1.0] * len(given), 0.0
    for rank, index in enumerate(sorted(range(len(given)), key=given.__getitem__)):
        largest = max(largest, min(1.0, (len(given) - rank) * given[index]))
        found[index] = largest
    return found
