"""Fitting a temperature and a threshold on pictures whose labels are known, and what they are worth on others.

What is published is fitted on all pictures. What is told of it comes from cross-fitting: each half of the pictures is
judged by what the other half gave, so that no picture speaks for a number that it made itself.
"""

from __future__ import annotations

import math
from copy import replace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lifecycle.errors import ModelsError
from lifecycle.scoring import Quality, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from classifier.bundles.scores import Head

    type Floats = NDArray[np.float64]
    type Rows = Sequence[Sequence[float]]

LOWEST, HIGHEST = 0.05, 20.0
"""Temperatures that are looked at: beyond them the pictures show no best one."""
STEPS = 60
CONFIDENT = 1.2815515655446004
"""The normal distribution's 90 % quantile."""
GRID = 10_000
"""Thresholds have four decimals."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a threshold is to bring: least share of right answers among the sure, most foreign pictures among those."""

    right: float
    foreign: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The head with what was fitted, and what cross-fitting says of it; `foreign` counts pictures of nothing known."""

    head: Head
    before: Quality
    after: Quality
    sure: int
    sure_and_right: int
    foreign: int
    foreign_sure: int
    auroc: float | None

    def as_dict(self) -> dict[str, Any]:
        """As published.json and --json tell it; shares by cross-fitting."""
        told: dict[str, Any] = {
            "temperature": self.head.temperature,
            "threshold": self.head.threshold,
            "pictures": self.before.pictures,
            "calibration_error": {"before": self.before.calibration_error, "after": self.after.calibration_error},
            "coverage": self.sure / self.before.pictures,
            "right_of_sure": self.sure_and_right / self.sure if self.sure else None,
        }
        if self.foreign:
            told["foreign"] = {"pictures": self.foreign, "sure": self.foreign_sure / self.foreign, "auroc": self.auroc}
        return told

    def lines(self) -> list[str]:
        """The same in words."""
        error = f"calibration error {self.before.calibration_error:.3f} -> {self.after.calibration_error:.3f}"
        right = f"{self.sure_and_right / self.sure:.1%} of them right" if self.sure else "none of them"
        sure = f"{self.sure} of {self.before.pictures} pictures ({self.sure / self.before.pictures:.1%}), {right}"
        lines = [
            f"Scores   temperature {self.head.temperature or 'none'}, {error}",
            f"Sure     from {self.head.threshold} on: {sure}",
        ]
        if self.foreign:
            passed = f"{self.foreign_sure} of {self.foreign} pictures ({self.foreign_sure / self.foreign:.1%}) are sure"
            lines.append(f"Foreign  {passed}; AUROC of known against foreign {self.auroc:.3f}")
        return [*lines, "         each half of the pictures judged by what the other half gave; published: from all"]


def calibrate(head: Head, raw: Rows, classes: Sequence[int], foreign: Rows, wish: Wish) -> Calibration:
    """Fit the head to the model's numbers for pictures of these classes, and for foreign ones.

    ModelsError where the pictures show no temperature, or no threshold that brings what is wished.
    """
    import numpy as np

    fitted = _fitted(head, raw, classes, foreign, wish)
    if fitted.threshold is None:
        raise ModelsError(_no_threshold(fitted, raw, classes, foreign, wish))
    true = np.asarray(classes)
    rows = np.zeros((len(raw), len(head.labels)))
    sure, foreign_best, foreign_sure = np.zeros(len(raw), bool), np.zeros(len(foreign)), np.zeros(len(foreign), bool)
    for half in (0, 1):
        of_other = _fitted(head, raw[1 - half :: 2], classes[1 - half :: 2], foreign[1 - half :: 2], wish)
        bar = math.inf if of_other.threshold is None else of_other.threshold
        rows[half::2] = scores(of_other, raw[half::2])
        sure[half::2] = rows[half::2].max(1) >= bar
        if foreign:
            foreign_best[half::2] = scores(of_other, foreign[half::2]).max(1)
            foreign_sure[half::2] = foreign_best[half::2] >= bar
    return Calibration(
        head=fitted,
        before=judge(scores(head, raw), classes),
        after=judge(rows, classes),
        sure=int(sure.sum()),
        sure_and_right=int((sure & (rows.argmax(1) == true)).sum()),
        foreign=len(foreign),
        foreign_sure=int(foreign_sure.sum()),
        auroc=auroc(rows.max(1), foreign_best) if foreign else None,
    )


def scores(head: Head, raw: Rows) -> Floats:
    """The head's scores, (pictures, labels), by the very code that serves them."""
    import numpy as np

    return np.array([head.scores(numbers) for numbers in raw], np.float64).reshape(len(raw), len(head.labels))


def _fitted(head: Head, raw: Rows, classes: Sequence[int], foreign: Rows, wish: Wish) -> Head:
    import numpy as np

    plain = replace(head, temperature=None, threshold=None)
    independent = head.output in ("sigmoid", "sigmoid_logits") and head.units > 1
    temperature = fit_temperature(scores(plain, raw), classes, independent=independent)
    fitted = replace(plain, temperature=temperature)
    rows = scores(fitted, raw)
    right = rows.argmax(1) == np.asarray(classes)
    strange = scores(fitted, foreign).max(1) if foreign else np.zeros(0)
    return replace(fitted, threshold=fit_threshold(rows.max(1), right, strange, wish))


def fit_temperature(shares: Floats, classes: Sequence[int], *, independent: bool) -> float | None:
    """The temperature that gives the true labels the best likelihood (Guo et al. 2017, section 4.2).

    Probabilities without a temperature, (pictures, labels), and the index of each picture's class. Independent labels
    are each held against whether it is the picture's class. None where lower is always better, as every picture is
    right; ModelsError where scores say nothing of the labels. The likelihood has one maximum in 1 / temperature, as its
    logarithm is concave in it.
    """
    import numpy as np

    tiny = float(np.finfo(np.float32).tiny)
    logits = np.log(np.maximum(shares, tiny))
    if independent:
        logits = logits - np.log(np.maximum(1 - shares, tiny))
    truth = np.zeros(logits.shape)
    truth[np.arange(len(truth)), classes] = 1

    def rises(temperature: float) -> bool:
        """Whether the likelihood rises further with 1 / temperature."""
        cooled = logits / temperature
        if independent:
            expected = 0.5 * (1 + np.tanh(cooled / 2))  # the sigmoid, without overflow
        else:
            powers = np.exp(cooled - cooled.max(1, keepdims=True))
            expected = powers / powers.sum(1, keepdims=True)
        return float(((truth - expected) * logits).sum()) > 0

    if rises(LOWEST):
        return None
    if not rises(HIGHEST):
        raise ModelsError("refused: the scores say nothing of these labels, so there is no temperature to fit")
    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if rises(math.exp(middle)) else (middle, high)
    return float(f"{math.exp((low + high) / 2):.4g}")


def fit_threshold(best: Floats, right: NDArray[np.bool_], foreign: Floats, wish: Wish) -> float | None:
    """The lowest threshold from which on enough answers are right and few enough foreign pictures pass, if there is.

    `best` scores of pictures, whether each is right, and best scores of foreign ones. Enough is for the lower
    end of Wilson's interval (1927; one-sided, 90 %) of the share: with fewer pictures it is more careful.
    """
    import numpy as np

    for bar in np.unique(np.floor(best * GRID) / GRID):
        sure = best >= bar
        if _least(int(right[sure].sum()), int(sure.sum())) < wish.right:
            continue
        if (foreign >= bar).sum() <= wish.foreign * len(foreign):
            return float(bar)
    return None


def _least(count: int, of: int) -> float:
    """The lower end of Wilson's interval of a share (Wilson 1927), one-sided, at 90 %."""
    share, square = count / of, CONFIDENT**2 / of
    middle, spread = share + square / 2, CONFIDENT * math.sqrt(share * (1 - share) / of + square / (4 * of))
    return (middle - spread) / (1 + square)


def _no_threshold(head: Head, raw: Rows, classes: Sequence[int], foreign: Rows, wish: Wish) -> str:
    text = f"{len(raw)} pictures show no score from which on {wish.right:.4g} of the answers are right"
    if foreign and _fitted(head, raw, classes, [], wish).threshold is not None:
        passed = f"and at most {wish.foreign:.4g} of {len(foreign)} foreign pictures pass"
        return f"refused: {text} {passed}: give a larger --foreign-pass"
    return f"refused: {text}, nine times in ten: give more pictures or a lower --sure-right"


def auroc(known: Floats, foreign: Floats) -> float:
    """The probability that a known picture scores above a foreign one, ties a half (Mann and Whitney 1947)."""
    import numpy as np

    ordered = np.sort(foreign)
    below, upto = np.searchsorted(ordered, known, "left"), np.searchsorted(ordered, known, "right")
    return float((below + upto).mean() / (2 * len(foreign)))
