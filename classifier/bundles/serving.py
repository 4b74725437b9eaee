"""How a model's numbers become predictions: `serving.json` and `labels.txt`, checked against the model's outputs."""

from __future__ import annotations

import math
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Literal

from classifier.documents import blamed, read_object
from classifier.errors import ModelError
from classifier.pictures.preprocessing import Preprocessing
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

type Output = Literal["softmax", "sigmoid", "logits"]

OUTPUTS: Mapping[str, Output] = {"softmax": "softmax", "sigmoid": "sigmoid", "logits": "logits", "linear": "logits"}
FIELDS = ("labels", "output", "top_k", "preprocessing", "title", "description")
DEFAULT_TOP_K = 5
MAX_LABELS = 100_000
MAX_LINE = 500


class Serving(Record):
    """Labels in the order of the scores, the output's kind, the default number of predictions, and preprocessing."""

    labels: tuple[str, ...]
    output: Output
    top_k: int
    preprocessing: Preprocessing
    title: str = ""
    description: str = ""
    """What people call the model and what it is for: shown by the page, decides nothing."""

    def scores(self, raw: Sequence[float]) -> Sequence[float]:
        """One score a label, from the model's output of `units` numbers.

        Logits go through softmax. One sigmoid unit, or one logit, is the second of two labels' score.
        """
        if self.output == "logits" and len(raw) == 1:
            positive = _sigmoid(raw[0])
            return [1 - positive, positive]
        if self.output == "logits":
            return _softmax(raw)
        if self.output == "sigmoid" and len(raw) == 1:
            return [1 - raw[0], raw[0]]
        return raw

    def predictions(self, raw: Sequence[float], top: int | None = None) -> list[dict[str, Any]]:
        """The best labels with their scores, best first, equal ones in the labels' order: at most `top`, or else the
        model's own number.

        ModelError if a score is no finite number, which JSON could not carry.
        """
        scores = self.scores(raw)
        if not all(map(math.isfinite, scores)):
            raise ModelError("the model's scores are not finite")
        best = nlargest(top or self.top_k, range(len(scores)), scores.__getitem__)
        return [{"label": self.labels[index], "score": round(scores[index], 7)} for index in best]


def _sigmoid(logit: float) -> float:
    """By the form whose exponential can't overflow."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return 1 - 1 / (1 + math.exp(logit))


def _softmax(logits: Sequence[float]) -> Sequence[float]:
    largest = max(logits)
    exponentials = [math.exp(logit - largest) for logit in logits]
    total = math.fsum(exponentials)
    return [exponential / total for exponential in exponentials]


class ModelShape(Record):
    """What the architecture says of input and output: (height, width, channels), None where free; units; activation."""

    height: int | None
    width: int | None
    channels: int
    units: int
    activation: str | None


def parse_serving(serving: bytes | None, labels: bytes | None, shape: ModelShape) -> Serving:
    """Read `serving.json` and `labels.txt`; ModelError names what is wrong, and both counts if labels don't fit."""
    with blamed("serving.json"):
        return _parsed(_document(serving), labels, shape)


def _parsed(document: Mapping[str, Any], labels: bytes | None, shape: ModelShape) -> Serving:
    output = _output(document.get("output"), shape.activation)
    expected = 2 if output != "softmax" and shape.units == 1 else shape.units
    names = _labels(document.get("labels"), labels, expected)
    if len(names) != expected:
        raise ModelError(f"{len(names)} labels for {expected} scores ({shape.units} output units, {output})")
    top_k = document.get("top_k", DEFAULT_TOP_K)
    if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
        raise ModelError(f"serving.json: top_k is {top_k!r}, expected a whole number from 1")
    preprocessing = _preprocessing(document.get("preprocessing", {}), shape)
    return Serving(names, output, top_k, preprocessing, *(_line(document, name) for name in ("title", "description")))


def _line(document: Mapping[str, Any], name: str) -> str:
    """A short text for people."""
    text = document.get(name, "")
    if not isinstance(text, str) or len(text) > MAX_LINE:
        raise ModelError(f"serving.json: {name} must be a text of at most {MAX_LINE} characters")
    return text


def uses_labels_file(serving: bytes | None) -> bool:
    """Whether `labels.txt` decides the labels: it does when `serving.json` gives none."""
    return not _document(serving).get("labels")


def _document(serving: bytes | None) -> Mapping[str, Any]:
    if serving is None:
        return {}
    document = read_object(serving, "serving.json")
    if unknown := sorted(document.keys() - set(FIELDS)):
        raise ModelError(f"serving.json: unknown {', '.join(unknown)}; the fields are {', '.join(FIELDS)}")
    return document


def _output(value: object, activation: str | None) -> Output:
    if value is None:
        value = activation if activation in OUTPUTS else "softmax"
    if not isinstance(value, str) or value not in OUTPUTS:
        raise ModelError(f"serving.json: output is {value!r}, expected softmax, sigmoid or logits")
    return OUTPUTS[value]


def _labels(value: object, labels: bytes | None, expected: int) -> tuple[str, ...]:
    """The labels of serving.json, else those of labels.txt, else the numbers of the `expected` scores from 0."""
    if not value and labels is None:
        return tuple(map(str, range(expected)))
    if value:
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise ModelError("serving.json: labels must be a list of strings")
        return tuple(value)
    try:
        lines = (labels or b"").decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ModelError(f"labels.txt is not UTF-8: {error}") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if len(lines) > MAX_LABELS:
        raise ModelError(f"labels.txt has {len(lines)} lines, at most {MAX_LABELS} are read")
    return tuple(line.strip() for line in lines)


def _preprocessing(value: object, shape: ModelShape) -> Preprocessing:
    try:
        return Preprocessing.from_json(value, (shape.height, shape.width, shape.channels))
    except ValueError as error:
        raise ModelError(f"serving.json: {error}") from error
