"""One output of a model: its numbers become scores, and scores predictions. Plain Python, as requests come this way."""

from __future__ import annotations

import math
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Literal

from classifier.errors import ModelError
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

type Output = Literal["softmax", "sigmoid", "logits", "sigmoid_logits", "regression"]

OUTPUTS: dict[str, Output] = {
    "softmax": "softmax",
    "sigmoid": "sigmoid",
    "logits": "logits",
    "sigmoid_logits": "sigmoid_logits",
    "regression": "regression",
    "linear": "logits",  # as a last layer's activation, which serving.json of earlier versions could name
}

CALIBRATION: dict[str, tuple[float, float]] = {"temperature": (0.01, 100.0), "threshold": (0.0, 1.0)}
"""Fields of serving.json with their least and largest values."""


class Head(Record):
    """Labels in the order of the scores, what the model's numbers are, how that is known, and how many are told.

    `temperature`: what logits are divided by before they become probabilities (Guo et al., "On Calibration of Modern
    Neural Networks", 2017), so that a score of 0.8 is right four times in five; probabilities are taken back to their
    logits for it. No label changes its place by it. `threshold`: the best score from which on an answer is sure.

    `softmax`: probabilities of one label each; `sigmoid`: independent ones, a single one being the second of two
    labels'; `logits`: what softmax makes probabilities of, a single one what sigmoid makes that of the second of two
    labels; `sigmoid_logits`: what sigmoid makes independent ones of; `regression`: quantities, served as they are.
    """

    name: str
    labels: tuple[str, ...]
    output: Output
    top_k: int
    units: int
    known: str
    temperature: float | None = None
    threshold: float | None = None

    def scores(self, raw: Sequence[float]) -> Sequence[float]:
        """One score a label, from the output's `units` numbers."""
        return self._plain(raw if self.temperature is None else self._tempered(raw, self.temperature))

    def _plain(self, raw: Sequence[float]) -> Sequence[float]:
        match self.output:
            case "logits" | "sigmoid_logits" if len(raw) == 1:
                positive = _sigmoid(raw[0])
                return [1 - positive, positive]
            case "logits":
                return _softmax(raw)
            case "sigmoid_logits":
                return list(map(_sigmoid, raw))
            case "sigmoid" if len(raw) == 1:
                return [1 - raw[0], raw[0]]
        return raw

    def _tempered(self, raw: Sequence[float], temperature: float) -> Sequence[float]:
        """Numbers of the same kind at a temperature; those that are not finite stay what they are."""
        if not all(map(math.isfinite, raw)):
            return raw
        match self.output:
            case "softmax":
                return _cooled(raw, temperature)
            case "sigmoid":
                return [_sigmoid(_logit(share) / temperature) if 0 < share < 1 else share for share in raw]
        return [logit / temperature for logit in raw]

    def predictions(self, raw: Sequence[float], top: int | None = None) -> list[dict[str, Any]]:
        """The best labels with their scores, best first, equal ones in the labels' order: at most `top`, else `top_k`.

        Quantities have no best: they keep the labels' order. ModelError if a score is no finite number, which JSON
        could not carry.
        """
        scores = self.scores(raw)
        if not all(map(math.isfinite, scores)):
            raise ModelError("the model's scores are not finite")
        indices = range(len(scores))
        most = top or self.top_k
        if self.output == "regression":
            best: Sequence[int] = indices[:most]
        elif self.temperature is None:
            best = nlargest(most, indices, scores.__getitem__)
        else:  # as without it: two scores that a temperature makes equal keep their order
            plain = self._plain(raw)
            best = nlargest(most, indices, lambda index: (plain[index], scores[index]))
        return [{"label": self.labels[index], "score": round(float(scores[index]), 7)} for index in best]


def calibration(fields: Mapping[str, Any], output: Output) -> tuple[float | None, float | None]:
    """The temperature and the threshold that serving.json states, None for what it does not; ModelError names it."""
    found = tuple(_number(fields, name, *bounds) for name, bounds in CALIBRATION.items())
    if output == "regression" and found != (None, None):
        given = " and ".join(name for name in CALIBRATION if name in fields)
        raise ModelError(f"serving.json: {given} of a regression, whose numbers are no probabilities")
    return found[0], found[1]


def _number(fields: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = fields.get(name)
    if value is None and name not in fields:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ModelError(f"serving.json: {name} is {str(value)[:80]!r}, expected a number from {least:g} to {most:g}")
    return float(value)


def _cooled(shares: Sequence[float], temperature: float) -> Sequence[float]:
    """softmax(log(shares) / temperature), without logarithms: a share of 0 stays 0."""
    largest = max(shares)
    if largest <= 0:
        return shares
    powers = [(share / largest) ** (1 / temperature) if share > 0 else 0.0 for share in shares]
    total = math.fsum(powers)
    return [power / total for power in powers]


def _logit(share: float) -> float:
    return math.log(share) - math.log1p(-share)


def _sigmoid(logit: float) -> float:
    """By the form whose exponential can't overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    exponential = math.exp(logit)
    return exponential / (1 + exponential)


def _softmax(logits: Sequence[float]) -> Sequence[float]:
    largest = max(logits)
    exponentials = [math.exp(logit - largest) for logit in logits]
    total = math.fsum(exponentials)
    return [exponential / total for exponential in exponentials]
