"""What a model's numbers are: told by what it gives on probe pictures, with its last layer and its loss as witnesses.

Probabilities of one label, independent ones, or neither: that much shows on probes. Which of several meanings numbers
beyond 0 and 1 have does not, so there the loss decides; and where the witnesses contradict each other, nobody but the
model's owner can (`scripts/models publish --scores`, "output" in serving.json).
"""

from __future__ import annotations

from copy import replace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from classifier.bundles.scores import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from classifier.bundles.scores import Head, Output
    from classifier.bundles.serving import ModelShape

SUM_TOLERANCE = 5e-3
"""How far probabilities' sum may be from 1: bfloat16 has three significant digits."""
RANGE_TOLERANCE = 1e-6

_SQUASHING: Final = frozenset({"sigmoid", "hard_sigmoid", "keras2_hard_sigmoid", "sparse_sigmoid"})
_OF_ONE_LABEL: Final = frozenset({"softmax", "sparsemax"})
_LOGARITHMS: Final = frozenset({"log_softmax"})
_BY_LOSS: Final[dict[str, Output]] = {
    "logits": "logits",
    "sigmoid_logits": "sigmoid_logits",
    "regression": "regression",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the numbers are, or None where that has to be asked; and how it is known, or why it is not, in words."""

    output: Output | None
    known: str


def find(rows: NDArray[np.float32], activation: str | None, loss: str | None) -> Finding:
    """Judge a model's output for several probes, float32 of shape (probes, units), finite.

    `activation`: the function that the model's graph names for it, None if it names none. `loss`: what the loss that it
    was trained with takes: "softmax", "sigmoid", "logits", "sigmoid_logits", "regression", "margins"; None: not known.
    """
    units = rows.shape[1]
    seen = _seen(rows)
    says = f"its last function is {activation}" if activation else "its last function says nothing"
    trained = f"; its loss takes {loss.replace('_', ' ')}" if loss else ""
    if _is_inside(rows):
        one_label = units > 1 and _sums_to_1(rows)
        witnesses = _SQUASHING | _OF_ONE_LABEL if one_label else _SQUASHING
        if activation is None or activation in witnesses:
            found: Output = "softmax" if one_label and activation not in _SQUASHING else "sigmoid"
            return Finding(found, f"{seen}; {says}")
        if activation in _OF_ONE_LABEL:
            only = ": of one number it is always 1" if units == 1 else ""
            return Finding(None, f"{seen}, but {says}{only}")
        return _by_loss(loss, units, f"{seen}; {says}{trained}") or Finding(None, f"{seen}, but {says}{trained}")
    if activation in _LOGARITHMS or _are_logarithms(rows):
        return Finding("logits", f"{seen}: logarithms of probabilities; {says}")
    if activation in _SQUASHING | _OF_ONE_LABEL or loss in ("softmax", "sigmoid", "margins"):
        return Finding(None, f"{seen}, but {says}{trained}")
    if found_by_loss := _by_loss(loss, units, f"{seen}; {says}{trained}"):
        return found_by_loss
    if units == 1:
        return Finding(None, f"{seen}: that may be a quantity, or the logit of one of two labels; {says}")
    if activation in (None, "linear"):
        return Finding("logits", f"{seen}; {says}{trained}")
    return Finding(None, f"{seen}, but {says}{trained}")


def contradiction(rows: NDArray[np.float32], output: Output) -> str:
    """What speaks against the kind that was stated, in a sentence; empty if nothing does. Rows as for `judged`."""
    import numpy as np

    rows = rows[np.isfinite(rows).all(1)]
    if not len(rows):
        return ""
    seen = _seen(rows)
    if output in ("softmax", "sigmoid") and not _is_inside(rows):
        return f"output is {output}, but {seen}: no probabilities"
    if output == "softmax" and rows.shape[1] > 1 and not _sums_to_1(rows):
        return f"output is softmax, but {seen}"
    if output in ("logits", "sigmoid_logits") and _is_inside(rows) and rows.shape[1] > 1 and _sums_to_1(rows):
        return f"output is {output}, but {seen}: those are probabilities already"
    return ""


def _by_loss(loss: str | None, units: int, known: str) -> Finding | None:
    """What the loss says of numbers that may be anything; one logit is that of the second of two labels."""
    output = _BY_LOSS.get(loss or "")
    if output is None or (output == "logits" and units == 1):
        return None
    return Finding("logits" if output == "sigmoid_logits" and units == 1 else output, known)


def _seen(rows: NDArray[np.float32]) -> str:
    low, high = float(rows.min()), float(rows.max())
    text = f"{len(rows)} probes give numbers from {low:.3g} to {high:.3g}"
    if rows.shape[1] == 1 or not _is_inside(rows):
        return text
    sums = rows.sum(1)
    return f"{text}, " + ("sums of 1" if _sums_to_1(rows) else f"sums from {sums.min():.3g} to {sums.max():.3g}")


def _is_inside(rows: NDArray[np.float32]) -> bool:
    return bool(rows.min() >= -RANGE_TOLERANCE and rows.max() <= 1 + RANGE_TOLERANCE)


def _sums_to_1(rows: NDArray[np.float32]) -> bool:
    return bool(abs(rows.sum(1) - 1).max() <= SUM_TOLERANCE)


def _are_logarithms(rows: NDArray[np.float32]) -> bool:
    import numpy as np

    if rows.shape[1] == 1 or rows.max() > RANGE_TOLERANCE:
        return False
    return _sums_to_1(np.exp(rows))


def judged(shape: ModelShape, rows: NDArray[np.float32], stated: Mapping[str, str | None]) -> ModelShape:
    """The shape with what each output is, as its numbers for the probes show, (probes, units), or what contradicts.

    `stated`: what the owner says of an output, by its name. Probes for which it gives no numbers are left aside.
    """
    import numpy as np

    outputs, start = [], 0
    for head in shape.heads:
        part = rows[:, start : start + head.units]
        start += head.units
        finite = part[np.isfinite(part).all(1)]
        own = OUTPUTS.get(stated.get(head.name) or "")
        if not len(finite):
            found = Finding(None, f"{len(part)} probes give no finite numbers")
        elif own is not None:
            found = Finding(own, contradiction(finite, own) or f"{_seen(finite)}")
        else:
            found = find(finite, head.activation, head.loss)
        outputs.append(replace(head, output=found.output, known=found.known))
    return replace(shape, outputs=tuple(outputs))


def contradictions(heads: Sequence[Head], rows: NDArray[np.float32]) -> list[str]:
    """What speaks against what each served output is said to be, a sentence each; rows as for `judged`."""
    found, start = [], 0
    for head in heads:
        part = rows[:, start : start + head.units]
        start += head.units
        if against := contradiction(part, head.output):
            found.append(f"output {head.name!r}: {against}" if head.name else against)
    return found
