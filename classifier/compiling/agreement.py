"""Whether two ways to run one model agree, as far as callers can see: in their scores and in the best label.

Scores are compared as they are where they are probabilities, and relative to their size where they are quantities.
Pictures for which the reference itself gives no number (a black one through a standardisation) show nothing, so they
are left out, and named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from classifier.bundles.serving import Serving

TIE = 1e-6
"""Labels whose scores are as near as this share their place: either may come first."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The largest difference of a score, the share of pictures with the same best label, and the pictures left out.

    NaN where nothing could be compared, or where only the reference gives numbers.
    """

    largest_difference: float
    top_label: float
    left_out: tuple[str, ...]

    def refusal(self, by: str, largest: float) -> str:
        """Why it is not enough, where `largest` is the largest difference allowed; empty if it is. NaN is none."""
        if not self.largest_difference <= largest:
            return f"scores differ from {by} by {self.largest_difference:.2g}, at most {largest:g} is allowed"
        if self.top_label < 1:
            return f"the top label agrees with {by} on {self.top_label:.0%} of the pictures only"
        return ""


def compared(
    serving: Serving, own: NDArray[np.float32], reference: NDArray[np.float32], names: Sequence[str]
) -> Agreement:
    """Compare two models' outputs, float32 of shape (pictures, units), for the pictures of these names."""
    import numpy as np

    usable = np.isfinite(reference).all(1)
    left_out = tuple(name for name, use in zip(names, usable, strict=True) if not use)
    if not usable.any():
        return Agreement(float("nan"), 0.0, left_out)
    largest, same, start = 0.0, np.ones(int(usable.sum()), bool), 0
    for head in serving.heads:
        stop = start + head.units
        ours, theirs = (
            np.array([head.scores(row.tolist()) for row in rows[usable, start:stop]], np.float64)
            for rows in (own, reference)
        )
        start = stop
        scale = np.maximum(1, np.abs(theirs)) if head.output == "regression" else 1.0
        largest = float(np.maximum(largest, (np.abs(ours - theirs) / scale).max()))
        if head.output != "regression":
            same &= theirs.max(1) - theirs[np.arange(len(theirs)), ours.argmax(1)] <= TIE
    return Agreement(largest, float(same.mean()), left_out)
