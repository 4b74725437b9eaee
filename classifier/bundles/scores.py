"""One output of a model: its numbers become scores, and scores predictions. Plain Python, as requests come this way."""

from __future__ import annotations

import math
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Literal

from classifier.errors import ModelError
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

type Output = Literal["softmax", "sigmoid", "logits", "sigmoid_logits", "regression"]

OUTPUTS: dict[str, Output] = {
    "softmax": "softmax",
    "sigmoid": "sigmoid",
    "logits": "logits",
    "sigmoid_logits": "sigmoid_logits",
    "regression": "regression",
    "linear": "logits",  # as a last layer's activation, which serving.json of earlier versions could name
}


class Head(Record):
    """Labels in the order of the scores, what the model's numbers are, how that is known, and how many are told.

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

    def scores(self, raw: Sequence[float]) -> Sequence[float]:
        """One score a label, from the output's `units` numbers."""
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
        best = indices[:most] if self.output == "regression" else nlargest(most, indices, scores.__getitem__)
        return [{"label": self.labels[index], "score": round(float(scores[index]), 7)} for index in best]


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
