"""Fitting a temperature and a threshold on pictures whose labels are known, and what they are worth on others.

What is published is fitted on all pictures. What is told of it comes from cross-fitting: each fifth of the pictures is
judged by what the others gave, so that no picture speaks for a number that it made itself.
"""

from __future__ import annotations

import math
from copy import replace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lifecycle.errors import ModelsError
from lifecycle.scoring import Quality, at_least, judge

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
FOLDS = 5
CONFIDENCE = 0.95
"""With which the share of right answers among the sure ones is what was wished for, or more."""
FIRST, STEPS_OF = 3, 20
"""Thresholds are tried from that of the surest third on, a twentieth of the pictures further each time."""
GRID = 10_000
"""Thresholds have four decimals."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a threshold is to bring: least share of right answers among the sure, most foreign pictures among those."""

    right: float
    foreign: float

    @property
    def least_pictures(self) -> int | None:
        """How many answers, all of them right, it takes to show that share; None where no number does."""
        if self.right >= 1:
            return None
        return math.ceil(math.log(1 - CONFIDENCE) / math.log(self.right)) if self.right > 0 else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The head with what was fitted, and what cross-fitting says of it; `foreign` counts pictures of nothing known."""

    head: Head
    wish: Wish
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
            "sure_right": self.wish.right,
            "confidence": CONFIDENCE,
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
            f"         at least {self.wish.right:.4g} of such are right, with {CONFIDENCE:.0%} confidence",
        ]
        if self.foreign:
            passed = f"{self.foreign_sure} of {self.foreign} pictures ({self.foreign_sure / self.foreign:.1%}) are sure"
            lines.append(f"Foreign  {passed}; AUROC of known against foreign {self.auroc:.3f}")
        return [*lines, "         each fifth of the pictures judged by what the others gave; published: from all"]


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
    for fold in range(FOLDS):
        of_others = _fitted(head, _without(fold, raw), _without(fold, classes), _without(fold, foreign), wish)
        bar = math.inf if of_others.threshold is None else of_others.threshold
        rows[fold::FOLDS] = scores(of_others, raw[fold::FOLDS])
        sure[fold::FOLDS] = rows[fold::FOLDS].max(1) >= bar
        if foreign:
            foreign_best[fold::FOLDS] = scores(of_others, foreign[fold::FOLDS]).max(1)
            foreign_sure[fold::FOLDS] = foreign_best[fold::FOLDS] >= bar
    return Calibration(
        head=fitted,
        wish=wish,
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


def _without[T](fold: int, given: Sequence[T]) -> list[T]:
    return [each for place, each in enumerate(given) if place % FOLDS != fold]


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
    """A threshold from which on enough answers are right, with confidence, and few enough foreign pictures pass.

    `best` scores of pictures, whether each is right, and best scores of foreign ones; None if these show no threshold.
    """
    import numpy as np

    bar = _enough_right(best, right, wish)
    if bar is None:
        return None
    allowed = math.floor(wish.foreign * len(foreign) + 1e-9)
    if allowed < len(foreign):
        first_too_many = float(np.sort(foreign)[-1 - allowed])
        bar = max(bar, (math.floor(first_too_many * GRID) + 1) / GRID)
    return bar if (best >= bar).any() else None


def _enough_right(best: Floats, right: NDArray[np.bool_], wish: Wish) -> float | None:
    """The lowest threshold that fixed-sequence testing allows (Angelopoulos et al., "Learn then Test", 2021).

    From the surest third of the pictures on, or as few as can show anything, ever more of them, a twentieth further at
    a time; each step rejects "fewer are right than wished for" by the exact binomial test, the one of Clopper and
    Pearson's interval (1934), at 5 %, and the first that can't be rejected ends it. Steps are chosen by scores alone,
    not by what is right, and a threshold that is too low is only reached through the first such one: so no more than
    one in twenty sets of pictures gives one. That holds if surer answers are not less often right; the same makes
    any higher threshold as good.
    """
    import numpy as np

    least, pictures = wish.least_pictures, len(best)
    if least is None or pictures < least:
        return None
    falling, found = np.sort(best)[::-1], None
    step = max(1, pictures // STEPS_OF)
    for place in [*range(max(least, -(-pictures // FIRST)), pictures, step), pictures]:
        bar = math.floor(float(falling[place - 1]) * GRID) / GRID
        sure = best >= bar
        if at_least(int(right[sure].sum()), int(sure.sum()), wish.right) > 1 - CONFIDENCE:
            break
        found = bar
    return found


def _no_threshold(head: Head, raw: Rows, classes: Sequence[int], foreign: Rows, wish: Wish) -> str:
    asked = f"{wish.right:.4g} of the answers are right"
    if wish.least_pictures is None:
        return "refused: no number of pictures shows that all answers are right: give a lower --sure-right"
    if len(raw) < wish.least_pictures:
        return (
            f"refused: it takes {wish.least_pictures} pictures at least, all of them right, to say with "
            f"{CONFIDENCE:.0%} confidence that {asked}: there are {len(raw)}; give more, or a lower --sure-right"
        )
    text = f"{len(raw)} pictures show no score from which on {asked}"
    if foreign and _fitted(head, raw, classes, [], wish).threshold is not None:
        passed = f"and at most {wish.foreign:.4g} of {len(foreign)} foreign pictures pass"
        return f"refused: {text} {passed}: give a larger --foreign-pass"
    return f"refused: {text}, with {CONFIDENCE:.0%} confidence: give more pictures or a lower --sure-right"


def auroc(known: Floats, foreign: Floats) -> float:
    """The probability that a known picture scores above a foreign one, ties a half (Mann and Whitney 1947)."""
    import numpy as np

    ordered = np.sort(foreign)
    below, upto = np.searchsorted(ordered, known, "left"), np.searchsorted(ordered, known, "right")
    return float((below + upto).mean() / (2 * len(foreign)))
