"""Tensors as TensorFlow Serving's REST protocol writes them in JSON: rows of numbers, or pictures under `b64`.

https://www.tensorflow.org/tfx/serving/api_rest. A model here has one input, so any one name for it is as good as ours.
"""

from __future__ import annotations

import math
from array import array
from copy import replace
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from classifier.arrays import FLOAT, shaped, zeros
from classifier.errors import RequestError
from classifier.web import uploads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

INPUT = "image"
INFINITIES = (array(FLOAT, [math.inf]).tobytes(), array(FLOAT, [-math.inf]).tobytes())
MAX_ROWS = 100_000
"""More than any model can answer at once: one score a row fills a reply."""
MAX_SHARED = 100
_MAX_DEPTH = 8
_JSON_TYPES: dict[type, str] = {str: "String", bool: "Bool", type(None): "Null", dict: "Object"}


@dataclass(frozen=True, slots=True)
class Numbers:
    """Rows of numbers, the model's input as it is: all of them in C order, and the shape that their lists had."""

    flat: Sequence[float] = field(repr=False)
    shape: tuple[int, ...]
    one_list: bool = False
    """Whether a row may be one list of all its numbers, as an Example's feature is."""

    def __len__(self) -> int:
        return self.shape[0]

    def pictures(self, shape: tuple[int, int, int], row: tuple[int, ...] | None = None) -> Iterator[memoryview[float]]:
        """The rows as pictures of shape (1, *shape), where `shape` is (height, width, channels).

        `row`: the shape in which the model itself takes a picture, if that is another one.

        Channels may also come first, as some models were trained. RequestError says what doesn't fit, at once.
        """
        row = row or shape
        as_listed = self.shape[1:] in (shape, row) or (self.one_list and self.shape[1:] == (math.prod(shape),))
        if not as_listed and self.shape[1:] != (shape[2], *shape[:2]):
            wanted, found = (f"[{','.join(map(str, sizes))}]" for sizes in ((-1, *row), self.shape))
            raise RequestError(public=f"Expecting input of shape {wanted} but got: {found}.")
        numbers, size = shaped(_float32(self.flat), (math.prod(self.shape),)), math.prod(shape)
        rows = (numbers[start : start + size] for start in range(0, len(numbers), size))
        return (shaped(row if as_listed else _channels_last(row, shape[2]), (1, *shape)) for row in rows)


def _float32(numbers: Sequence[float]) -> array[float]:
    """RequestError for a number that is finite and too large for float32."""
    text = "Cannot convert a JSON value to float without loss of precision."
    try:
        found = array(FLOAT, numbers)
    except OverflowError as error:
        raise RequestError(public=text) from error
    if any(map(found.tobytes().__contains__, INFINITIES)):  # perhaps: bytes of two neighbours may look like one
        for rounded, number in zip(found, numbers, strict=True):
            if math.isinf(rounded) and not math.isinf(number):
                raise RequestError(public=text)
    return found


def _channels_last(row: memoryview[float], channels: int) -> memoryview[float]:
    turned = zeros((len(row),))
    size = len(row) // channels
    for channel in range(channels):
        turned[channel::channels] = row[channel * size : (channel + 1) * size]
    return turned


@dataclass(frozen=True, slots=True)
class Encoded:
    """Picture files, one a row."""

    pictures: Sequence[bytes] = field(repr=False)

    def __len__(self) -> int:
        return len(self.pictures)


type Rows = Numbers | Encoded


def read_rows(document: Mapping[str, Any]) -> tuple[Rows, str]:
    """A predict request's rows, and the key that the reply has: `predictions` for row form, `outputs` for columns."""
    if "instances" in document and "inputs" in document:
        raise RequestError(public="Not formatted correctly: expecting only one of 'inputs' or 'instances'.")
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise RequestError(public="Expecting 'instances' to be a list/array.")
        if not instances:
            raise RequestError(public="No values in 'instances' array.")
        return _rows([_unnamed(item, index) for index, item in enumerate(_few(instances))]), "predictions"
    if "inputs" in document:
        return _columns(document["inputs"]), "outputs"
    raise RequestError(public="Missing 'inputs' or 'instances' key.")


def read_examples(document: Mapping[str, Any]) -> Rows:
    """The pictures of a classify request: of each example its one feature that is a picture or a list of numbers."""
    context = document.get("context", {})
    examples = document.get("examples")
    if not isinstance(examples, list):
        raise RequestError(public="When method is classify, key 'examples' is expected with a list/array value.")
    if not examples:
        raise RequestError(public="'examples' value is an empty array.")
    if not isinstance(context, dict) or set(map(type, examples)) != {dict}:
        raise RequestError(public="Each example, and the context, must be a JSON object.")
    if len(context) > MAX_SHARED:  # each example has all of them
        raise RequestError(public=f"The context has {len(context)} features; at most {MAX_SHARED} are taken.")
    found = _rows([_feature({**context, **example}, index) for index, example in enumerate(_few(examples))])
    return replace(found, one_list=True) if isinstance(found, Numbers) else found


def _unnamed(item: Any, index: int) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(item, dict) or _is_b64(item):
        return item
    if len(item) != 1:
        raise RequestError(public=f"Failed to process element: {index} of 'instances' list. Keys must equal: {INPUT}.")
    return next(iter(item.values()))


def _columns(inputs: Any) -> Rows:  # noqa: ANN401 - any JSON value
    if isinstance(inputs, dict) and not _is_b64(inputs):
        if len(inputs) != 1:
            raise RequestError(public=f"Expecting one named input in 'inputs' object: {INPUT}.")
        inputs = next(iter(inputs.values()))
    rows = inputs if isinstance(inputs, list) else [inputs]
    if not rows:
        raise RequestError(public="No values in 'inputs'.")
    return _rows(_few(rows))


def _few(rows: list[Any]) -> list[Any]:
    """The rows, before each of them costs time."""
    if len(rows) > MAX_ROWS:
        raise RequestError(public=f"There are {len(rows)} rows; at most {MAX_ROWS} are taken at once.")
    return rows


def _feature(example: Mapping[str, Any], index: int) -> Any:  # noqa: ANN401 - any JSON value
    """An Example's features are values or flat lists; a list of one value is that value."""
    values = (value[0] if isinstance(value, list) and len(value) == 1 else value for value in example.values())
    found = [value for value in values if _is_b64(value) or (isinstance(value, list) and _is_number(value[:1]))]
    if len(found) != 1:
        raise RequestError(
            public=f"Example {index} has {len(found)} features that are a picture ({{'b64': ...}}) or a list of "
            f"numbers; expecting one, named {INPUT}."
        )
    return found[0]


def _rows(rows: list[Any]) -> Rows:
    encoded = [_is_b64(row) for row in rows]
    if all(encoded):
        return Encoded([_decoded(row["b64"], index) for index, row in enumerate(rows)])
    if any(encoded):
        raise RequestError(public="Rows are either all pictures ({'b64': ...}) or all numbers.")
    return _numbers(rows)


def _is_b64(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_number(first: list[Any]) -> bool:
    return bool(first) and isinstance(first[0], int | float) and not isinstance(first[0], bool)


def _decoded(text: str, index: int) -> bytes:
    try:
        return uploads.decode_base64(text)
    except RequestError as error:
        raise RequestError(str(error), public=f"Unable to base64 decode element {index}.") from error


def _numbers(rows: list[Any]) -> Numbers:
    """Flatten, level by level; RequestError unless all leaves are numbers and all lists of one level of one size.

    Checked here and not by numpy, which takes strings and null for some numbers, and true for 1.
    """
    level, shape = rows, [len(rows)]
    while (kinds := set(map(type, level))) == {list}:
        sizes = set(map(len, level))
        if len(sizes) > 1:
            raise RequestError(public="The lists of the input are not all of one size.")
        if len(shape) == _MAX_DEPTH:
            raise RequestError(public="The lists of the input are nested too deep.")
        shape.append(sizes.pop())
        level = list(chain.from_iterable(level))
    if kinds <= {int, float}:
        return Numbers(level, tuple(shape))
    wrong = next((_JSON_TYPES[kind] for kind in kinds if kind in _JSON_TYPES), None)
    if wrong is None:
        raise RequestError(public="The lists of the input are not all of one depth.")
    raise RequestError(public=f"The input has a value of type {wrong}, not of expected type: float.")
