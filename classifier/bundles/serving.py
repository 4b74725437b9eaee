"""How a model's numbers become predictions: `serving.json` and `labels.txt`, checked against the model's outputs."""

from __future__ import annotations

from copy import replace
from typing import TYPE_CHECKING, Any, Self

from classifier.bundles.scores import CALIBRATION, OUTPUTS, Head, Output, calibration
from classifier.documents import blamed, read_object
from classifier.errors import ModelError
from classifier.pictures.preprocessing import CHANNELS, Preprocessing
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HEAD_FIELDS = ("labels", "output", "top_k", *CALIBRATION)
LINES = ("title", "description", "card")
FIELDS = (*HEAD_FIELDS, "outputs", "preprocessing", *LINES)
DEFAULT_TOP_K = 5
MAX_LABELS = 100_000
MAX_LINE = 500
STATED = "stated in serving.json"


class Serving(Record):
    """The outputs that are served, as their numbers follow each other, and preprocessing.

    `row`: the shape of one picture's numbers where they are sent instead of a picture: as the model takes them.
    """

    heads: tuple[Head, ...]
    preprocessing: Preprocessing
    row: tuple[int, ...]
    title: str = ""
    description: str = ""
    card: str = ""
    """What people call the model, what it is for, and where more is told of it: shown by the page, decides nothing."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The first output's labels, in the order of its scores."""
        return self.heads[0].labels

    @property
    def output(self) -> Output:
        """What the first output's numbers are."""
        return self.heads[0].output

    def parts(self, raw: Sequence[float]) -> Iterator[tuple[Head, Sequence[float]]]:
        """Each output with its numbers, out of all that the model gives for a picture."""
        start = 0
        for head in self.heads:
            yield head, raw[start : start + head.units]
            start += head.units

    def scores(self, raw: Sequence[float]) -> Sequence[float]:
        """One score for each label of each output."""
        if len(self.heads) == 1:
            return self.heads[0].scores(raw)
        return [score for head, part in self.parts(raw) for score in head.scores(part)]

    def first_scores(self, raw: Sequence[float]) -> Sequence[float]:
        """One score for each of `labels`, those of the first output."""
        head, part = next(self.parts(raw))
        return head.scores(part)

    def predictions(self, raw: Sequence[float], top: int | None = None) -> list[dict[str, Any]]:
        """The first output's predictions: see Head.predictions."""
        head, part = next(self.parts(raw))
        return head.predictions(part, top)

    def described(self) -> dict[str, Any]:
        """What `GET /model` says of the first output, and of several each by name."""
        heads = {head.name: _described(head) for head in self.heads}
        return _described(self.heads[0]) if len(heads) == 1 else {**_described(self.heads[0]), "outputs": heads}

    def answer(self, raw: Sequence[float], top: int | None = None) -> dict[str, Any]:
        """The part of a reply that the model decides: `predictions`, and of several outputs each one's by name.

        `sure` is there where an output has a threshold: whether the best score of each that has one reaches it.
        """
        found = {head.name: head.predictions(part, top) for head, part in self.parts(raw)}
        reply: dict[str, Any] = {"predictions": next(iter(found.values()))}
        marks = [(found[head.name][0]["score"], head.threshold) for head in self.heads if head.threshold is not None]
        if marks:
            reply["sure"] = all(score >= threshold for score, threshold in marks)
        return reply if len(found) == 1 else {**reply, "outputs": found}


def _described(head: Head) -> dict[str, Any]:
    told = {"labels": head.labels, "output": head.output, "output_known": head.known, "top_k": head.top_k}
    return told | {name: value for name in CALIBRATION if (value := getattr(head, name)) is not None}


class OutputShape(Record):
    """What is known of one output: how many numbers, the function that made them, the loss that they were trained by.

    `output` and `known`: what they are, as probing found, and how. `name` is empty for a model's only output.
    """

    name: str
    units: int
    activation: str | None
    loss: str | None = None
    output: Output | None = None
    known: str = ""


class ModelShape(Record):
    """What the architecture says of input and output: (height, width, channels), None where free; units; activation.

    `row`: the model's own input without the batch, where it is no (height, width, channels): (height, width), or as
    flat as (784,). `outputs`: those that are served, in the order of their numbers; none stands for a single one.
    `resizes`: what the first layer of a model of any size does to the picture (keras_json.resizing).
    """

    height: int | None
    width: int | None
    channels: int
    units: int
    activation: str | None
    row: tuple[int | None, ...] | None = None
    outputs: tuple[OutputShape, ...] = ()
    resizes: Mapping[str, Any] | None = None

    @property
    def heads(self) -> tuple[OutputShape, ...]:
        """The outputs that are served."""
        return self.outputs or (OutputShape("", self.units, self.activation),)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `records.as_dict` made; TypeError or ValueError if it is anything else."""
        rest = dict(document)
        row = rest.pop("row", None)
        outputs = tuple(OutputShape(**each) for each in rest.pop("outputs", ()))
        return cls(**rest, row=None if row is None else tuple(row), outputs=outputs)


def parse_serving(serving: bytes | None, labels: bytes | None, shape: ModelShape) -> Serving:
    """Read `serving.json` and `labels.txt`; ModelError names what is wrong, and both counts if labels don't fit."""
    document = _document(serving)
    named = document.get("outputs")
    fields = {each.name: document if named is None else named.get(each.name, {}) for each in shape.heads}
    with blamed("serving.json"):
        heads = tuple(_head(each, fields[each.name], labels) for each in shape.heads)
        preprocessing = parse_preprocessing(serving, shape)
        lines = [_line(document, name) for name in LINES]
        return Serving(heads, preprocessing, _row(shape, preprocessing), *lines)


def _line(document: Mapping[str, Any], name: str) -> str:
    """A short text for people."""
    text = document.get(name, "")
    if not isinstance(text, str) or len(text) > MAX_LINE:
        raise ModelError(f"serving.json: {name} must be a text of at most {MAX_LINE} characters")
    return text


def _row(shape: ModelShape, preprocessing: Preprocessing) -> tuple[int, ...]:
    if shape.row is None:
        return preprocessing.shape[1:]
    height, width, channels = preprocessing.shape[1:]
    return (height, width) if len(shape.row) == 2 else (height * width * channels,)


def parse_preprocessing(serving: bytes | None, shape: ModelShape) -> Preprocessing:
    """The preprocessing alone, for a model whose outputs are yet to be looked at."""
    value = _document(serving).get("preprocessing", {})
    height, width, channels = shape.height, shape.width, shape.channels
    try:
        if shape.row is not None and len(shape.row) == 1:
            channels = _flat_channels(value, shape.row[0] or 0)
        if shape.resizes is not None:
            return Preprocessing.of_own_layer(value, shape.resizes, channels)
        return Preprocessing.from_json(value, (height, width, channels))
    except ValueError as error:
        raise ModelError(f"serving.json: {error}") from error


def served_outputs(serving: bytes | None, outputs: Sequence[OutputShape]) -> tuple[OutputShape, ...]:
    """Those of a model's outputs that `serving.json` names, or its only one; ModelError where that leaves it open."""
    named = _document(serving).get("outputs")
    names = [each.name for each in outputs]
    if named is None and len(outputs) > 1:
        raise ModelError(
            f"the model has {len(outputs)} outputs ({', '.join(names)[:200]}): name one with publish's --output, or "
            "those to be served in serving.json's outputs"
        )
    if named is None:
        return (replace(outputs[0], name=""),)
    if unknown := [name for name in named if name not in names]:
        raise ModelError(f"serving.json: the model has no output {unknown[0][:80]!r}, but {', '.join(names)[:200]}")
    return tuple(outputs[names.index(name)] for name in named)


def stated_outputs(serving: bytes | None) -> Mapping[str, str | None]:
    """What `serving.json` says that each output is, by name; "" is the only one's."""
    document = _document(serving)
    named = document.get("outputs")
    return {name: fields.get("output") for name, fields in ({"": document} if named is None else named).items()}


def uses_labels_file(serving: bytes | None) -> bool:
    """Whether `labels.txt` decides the labels: it does when `serving.json` gives none."""
    document = _document(serving)
    return not document.get("labels") and "outputs" not in document


def _document(serving: bytes | None) -> Mapping[str, Any]:
    if serving is None:
        return {}
    document = read_object(serving, "serving.json")
    _check_fields(document, FIELDS, "serving.json")
    if (named := document.get("outputs")) is not None:
        _check_outputs(document, named)
    return document


def _check_outputs(document: Mapping[str, Any], named: object) -> None:
    if not isinstance(named, dict) or not named:
        raise ModelError("serving.json: outputs must be an object, of each served output's name to its labels and kind")
    if both := sorted(document.keys() & set(HEAD_FIELDS)):
        raise ModelError(f"serving.json: {', '.join(both)} beside outputs; each output has its own")
    for name, fields in named.items():
        _check_fields(fields, HEAD_FIELDS, f"serving.json: output {name[:80]!r}")


def _check_fields(document: object, known: tuple[str, ...], place: str) -> None:
    if not isinstance(document, dict):
        raise ModelError(f"{place} is {type(document).__name__}, expected an object")
    if unknown := sorted(document.keys() - set(known)):
        raise ModelError(f"{place}: unknown {', '.join(unknown)}; the fields are {', '.join(known)}")


def _head(output: OutputShape, fields: Mapping[str, Any], labels: bytes | None) -> Head:
    kind, known = _output(fields.get("output"), output)
    expected = 2 if output.units == 1 and kind not in ("softmax", "regression") else output.units
    names = _labels(fields.get("labels"), labels if not output.name else None, kind, expected)
    if len(names) != expected:
        of = f" of output {output.name!r}" if output.name else ""
        raise ModelError(f"{len(names)} labels for {expected} scores{of} ({output.units} output units, {kind})")
    top_k = fields.get("top_k", expected if kind == "regression" else DEFAULT_TOP_K)
    if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
        raise ModelError(f"serving.json: top_k is {top_k!r}, expected a whole number from 1")
    return Head(output.name, names, kind, top_k, output.units, known, *calibration(fields, kind))


def _output(stated: object, output: OutputShape) -> tuple[Output, str]:
    """What an output's numbers are, and how that is known."""
    if stated is not None:
        if not isinstance(stated, str) or stated not in OUTPUTS:
            expected = ", ".join(name for name in OUTPUTS if name != "linear")
            raise ModelError(f"serving.json: output is {str(stated)[:80]!r}, expected one of {expected}")
        return OUTPUTS[stated], f"{STATED}; {output.known}" if output.known else STATED
    if output.output is not None and output.output in OUTPUTS:
        return OUTPUTS[output.output], output.known
    if output.activation in ("softmax", "sigmoid"):
        return OUTPUTS[output.activation], output.known or f"its last function is {output.activation}"
    what = f"output {output.name!r} is" if output.name else "the model's numbers are"
    raise ModelError(
        f'what {what} is not known: {output.known or "they were not probed"}. Say it: "output" in serving.json '
        "(publish --scores) is softmax, sigmoid, logits, sigmoid_logits or regression"
    )


def _labels(value: object, labels: bytes | None, output: Output, expected: int) -> tuple[str, ...]:
    """The labels of serving.json, else those of labels.txt, else the numbers of the `expected` scores from 0."""
    if not value and labels is None:
        return ("value",) if output == "regression" and expected == 1 else tuple(map(str, range(expected)))
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


def _flat_channels(value: object, numbers: int) -> int:
    """How many channels a flat input has, from the size that serving.json gives; ValueError unless they fit."""
    size = value.get("size") if isinstance(value, dict) else None
    if not (isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(side, int) for side in size)):
        raise ValueError(
            f"the model takes {numbers} numbers in a row: preprocessing.size (publish --size) must say the height and "
            "width of their picture"
        )
    pixels = size[0] * size[1]
    for channels in sorted(set(CHANNELS.values())):
        if pixels > 0 and pixels * channels == numbers:
            return channels
    raise ValueError(
        f"preprocessing.size is {list(size)}: no picture of that size has the {numbers} numbers of the model"
    )
