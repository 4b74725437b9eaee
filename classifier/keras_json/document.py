"""Bytes to a JSON object that is a model's architecture: one meaning only, and no more work than the limits allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.documents import read_object, read_value
from classifier.errors import ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.documents import Json
    from classifier.keras_json.limits import Limits

WHAT = "architecture JSON"


def parse(data: bytes, limits: Limits) -> Mapping[str, Json]:
    """Return the JSON object in `data` (UTF-8).

    A JSON string that holds the object is unwrapped once: `json.dump(model.to_json(), file)` writes that.
    Raises ModelTooLargeError over a limit, ModelError where the text is not one unambiguous object.
    """
    if len(data) > limits.max_json_bytes:
        raise ModelTooLargeError(f"{WHAT} has {len(data):,} bytes, more than {limits.max_json_bytes:,}")
    if data.lstrip().startswith(b'"'):
        text = read_value(data, WHAT)
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else data
    return read_object(data, WHAT, limits.max_json_depth)
