"""Tensors as TensorFlow Serving's REST protocol writes them in JSON: rows of numbers, or pictures under `b64`.

https://www.tensorflow.org/tfx/serving/api_rest. A model here has one input, so any one name for it is as good as ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from classifier import sources
from classifier.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

INPUT = "image"
_MAX_DEPTH = 8
_JSON_TYPES: dict[type, str] = {str: "String", bool: "Bool", type(None): "Null", dict: "Object"}
_LIST_BYTES, _ITEM_BYTES = 100, 40
"""Most memory that one list or object, and one number with its place in the list, take once parsed."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Rows of nested lists, the model's input as it is, its shape not checked yet."""

    rows: Sequence[Any] = field(repr=False)
    flat: bool = False
    """Whether a row is one list of all its numbers, as an Example's feature is."""

    def __len__(self) -> int:
        return len(self.rows)

    def array(self, shape: tuple[int, int, int]) -> NDArray[np.float32]:
        """The rows as float32 of shape (rows, *shape), where `shape` is (height, width, channels).

        Channels may also come first, as some models were trained. RequestError says what doesn't fit.
        """
        import numpy as np

        try:
            given = np.asarray(self.rows, np.float64)
        except ValueError as error:
            raise RequestError("ragged rows", public="The lists of the input are not all of one size.") from error
        except OverflowError as error:
            raise _lossy() from error
        with np.errstate(over="ignore"):
            array = given.astype(np.float32)
        if (np.isinf(array) & np.isfinite(given)).any():
            raise _lossy()
        return self._shaped(array, shape)

    def _shaped(self, array: NDArray[np.float32], shape: tuple[int, int, int]) -> NDArray[np.float32]:
        if array.shape[1:] == shape:
            return array
        if self.flat and array.shape[1:] == (math.prod(shape),):
            return array.reshape(-1, *shape)
        if array.shape[1:] == (shape[2], *shape[:2]):
            return array.transpose(0, 2, 3, 1)
        wanted, found = (f"[{','.join(map(str, sizes))}]" for sizes in ((-1, *shape), array.shape))
        raise RequestError(public=f"Expecting input of shape {wanted} but got: {found}.")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Picture files, one a row."""

    pictures: Sequence[bytes] = field(repr=False)

    def __len__(self) -> int:
        return len(self.pictures)


type Rows = Numbers | Encoded


def check_memory(body: bytes, left: int | None) -> None:
    """RequestError if parsing the JSON in `body` could take more than `left` bytes; None is no limit."""
    estimate = (body.count(b"[") + body.count(b"{")) * _LIST_BYTES + body.count(b",") * _ITEM_BYTES + len(body)
    if left is not None and estimate > left:
        raise RequestError(
            f"{len(body)} bytes of JSON may take {estimate} bytes, {left} are left",
            public="The request holds more values than there is memory for. Send fewer rows at once.",
        )


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
        return _rows([_unnamed(item, index) for index, item in enumerate(instances)]), "predictions"
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
    if not isinstance(context, dict) or not all(isinstance(example, dict) for example in examples):
        raise RequestError(public="Each example, and the context, must be a JSON object.")
    found = _rows([_feature({**context, **example}, index) for index, example in enumerate(examples)])
    return Numbers(found.rows, flat=True) if isinstance(found, Numbers) else found


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
    return _rows(rows)


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
    _check_numbers(rows)
    return Numbers(rows)


def _is_b64(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_number(first: list[Any]) -> bool:
    return bool(first) and isinstance(first[0], int | float) and not isinstance(first[0], bool)


def _decoded(text: str, index: int) -> bytes:
    try:
        return sources.decode_base64(text)
    except RequestError as error:
        raise RequestError(str(error), public=f"Unable to base64 decode element {index}.") from error


def _check_numbers(values: list[Any], level: int = 1) -> None:
    """RequestError unless all leaves are numbers: numpy would take strings and null for some, and bool for one."""
    kinds = set(map(type, values))
    if kinds <= {int, float}:
        return
    if kinds != {list} or level > _MAX_DEPTH:
        wrong = next((kind for kind in kinds if kind not in (int, float, list)), None)
        if wrong:
            raise RequestError(
                public=f"The input has a value of type {_JSON_TYPES[wrong]}, not of expected type: float."
            )
        raise RequestError(public="The lists of the input are not all of one depth, or nested too deep.")
    for inner in values:
        _check_numbers(inner, level + 1)


def _lossy() -> RequestError:
    return RequestError(public="Cannot convert a JSON value to float without loss of precision.")
