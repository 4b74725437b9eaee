"""Bytes to a JSON object, strictly: one meaning only, and never more work than the limits allow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

from classifier.errors import ModelError, ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.keras_json.limits import Limits

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None


def parse(data: bytes, limits: Limits) -> Mapping[str, Json]:
    """Return the JSON object in `data` (UTF-8).

    A JSON string that holds the object is unwrapped once: `json.dump(model.to_json(), file)` writes that.
    Raises ModelTooLargeError over a limit, ModelError where the text is not one unambiguous object: RFC 8259 leaves
    duplicate keys to the reader, and two readers that differ are how a check gets passed by.
    """
    if len(data) > limits.max_json_bytes:
        raise ModelTooLargeError(f"architecture JSON has {len(data):,} bytes, more than {limits.max_json_bytes:,}")
    document = _load(data)
    if isinstance(document, str):
        document = _load(document.encode("utf-8", "surrogatepass"))
    if not isinstance(document, dict):
        raise ModelError(f"architecture JSON is a {type(document).__name__}, not an object")
    _check_depth(document, limits.max_json_depth)
    return document


def _load(data: bytes) -> Json:
    try:
        text = data.decode("utf-8-sig")
        document: Json = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise ModelError(f"architecture JSON is not UTF-8: {error}") from error
    except RecursionError as error:
        raise ModelTooLargeError("architecture JSON is nested too deeply to be read") from error
    except ValueError as error:
        raise ModelError(f"architecture JSON can't be read: {error}") from error
    return document


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ModelError(f"architecture JSON has the key {twice!r} twice in one object")
    return found


def _constant(text: str) -> NoReturn:
    raise ModelError(f"architecture JSON holds {text}, which is not JSON")


def _check_depth(document: Json, max_depth: int) -> None:
    level: list[Json] = [document]
    depth = 0
    while level:
        if depth > max_depth:
            raise ModelTooLargeError(f"architecture JSON is nested more than {max_depth} deep")
        level = [child for value in level for child in _children(value)]
        depth += 1


def _children(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
