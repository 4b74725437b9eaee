"""A request's body: its content coding removed, and the JSON in it read, within the memory and the time that are left.

A byte of JSON may be a byte of a picture or a list of its own, so memory is counted by tokens before it is read; where
there are many the clock is looked at meanwhile.
"""

from __future__ import annotations

import gc
import json
import time
from typing import TYPE_CHECKING, Any

from classifier.errors import RequestError
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_UNPACKED_BYTES = 100_000_000
"""As much as TensorFlow Serving takes (net_http's `auto_uncompress_input`)."""
_MAGIC = b"\x1f\x8b"
_GZIP, _REFUSED = ("gzip", "x-gzip"), ("br", "compress", "x-compress", "deflate", "zstd")
_TOKENS = {b"[": 112, b"{": 96, b":": 250, b",": 40}
"""Most bytes that each token costs, read and looked through: the list of one element, the object, the name in it, the
next value. Measured with nested and empty lists, objects and names."""
MANY_TOKENS = 50_000
"""Fewer are read in 40 ms by one core of a 2.5 GHz Xeon, whatever they are [numbers: 5 ms]."""
_WIDE = 4
"""Bytes a character where one of them is beyond Latin-1."""


class Budget(Record, kw_only=True):
    """What reading one body may cost: bytes of memory, time until `deadline` (time.monotonic()); None is no limit."""

    memory: int | None = None
    deadline: float | None = None

    @classmethod
    def of_function(cls, function_bytes: int, deadline: float | None) -> Budget:
        """What is left to a function of that memory; 0 where it is not known."""
        from classifier import function_memory

        return cls(memory=function_memory.left(function_bytes), deadline=deadline)

    def check_time(self) -> None:
        """RequestError once the deadline has passed."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            text = "The request holds more than there is time to read. Send fewer rows at once."
            raise RequestError("JSON was not read by the deadline", public=text)


def unpacked(body: bytes, coding: str, budget: Budget) -> bytes:
    """The body without its content coding, `coding` being its header's value.

    Of codings only gzip is removed; names that are no coding are ignored, as browsers do: clients say UTF-8 or base64.
    RequestError if it is coded otherwise, broken, or unpacks to too much.
    """
    names = [name.strip().lower() for name in coding.split(",")]
    if refused := [name for name in names if name in _REFUSED]:
        raise RequestError(public=f"Content-Encoding can be gzip, not {refused[0]}; send the body as it is.")
    packed = sum(name in _GZIP for name in names)
    if packed > 1:
        raise RequestError(public="Content-Encoding can be gzip once; send the body as it is.")
    # A gateway that unpacked the body may have left the header; neither JSON nor a picture begins like gzip.
    if not packed or not body.startswith(_MAGIC):
        return body
    most = MAX_UNPACKED_BYTES if budget.memory is None else min(MAX_UNPACKED_BYTES, budget.memory // _WIDE)
    return _unpacked(body, most)


def _unpacked(body: bytes, most: int) -> bytes:
    """One gzip member and nothing after it: a flood of tiny members costs minutes."""
    import zlib

    decoder = zlib.decompressobj(wbits=31)
    try:
        plain = decoder.decompress(body, most + 1)
    except zlib.error as error:
        raise RequestError(f"gzip: {error}", public="The gzip body is broken.") from error
    if len(plain) > most:
        raise _too_large(f"over {most} bytes after gzip")
    if not decoder.eof or decoder.unused_data:
        raise RequestError("gzip: no end, or data after it", public="The gzip body is broken.")
    return plain


def read_json(body: bytes, budget: Budget) -> Mapping[str, Any]:
    """The body's JSON object; RequestError for anything else, for one name given twice, and over the budget."""
    tokens = {token: body.count(token) for token in _TOKENS}
    _check_memory(body, tokens, budget)
    collecting = gc.isenabled()
    gc.disable()  # nothing of it is garbage yet, and looking for some takes longer than the reading
    try:
        document = _loads(body, budget, many=sum(tokens.values()) > MANY_TOKENS)
    except (ValueError, RecursionError) as error:
        raise RequestError(public=f"The body is not valid JSON: {_reason(error)}.") from error
    finally:
        if collecting:
            gc.enable()
    if not isinstance(document, dict):
        raise RequestError(public=f"The body must be a JSON object, not {json_type(document)}.")
    return document


def _loads(body: bytes, budget: Budget, *, many: bool) -> Any:  # noqa: ANN401 - any JSON
    if budget.deadline is None or not many:
        return json.loads(body, object_pairs_hook=_object)
    from classifier.web import timed_json

    return timed_json.loads(body, budget.check_time, _object)


def _check_memory(body: bytes, tokens: Mapping[bytes, int], budget: Budget) -> None:
    """RequestError if reading the JSON could take more memory than there is."""
    memory = len(body) * (3 if body.isascii() else 1 + 2 * _WIDE)
    memory += sum(count * _TOKENS[token] for token, count in tokens.items())
    if budget.memory is not None and memory > budget.memory:
        raise _too_large(f"{len(body)} bytes of JSON may take {memory} bytes, {budget.memory} are left")


def _too_large(reason: str) -> RequestError:
    text = "The request holds more than there is memory for. Send fewer rows at once."
    return RequestError(reason, public=text)


class _RepeatedNameError(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise _RepeatedNameError("a name is given twice in one object")
    return document


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}"
    if isinstance(error, _RepeatedNameError):
        return str(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else "a number is too long"


def json_type(value: object) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
