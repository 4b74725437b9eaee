"""One picture's line in the results: what a reply says of it, or the code of what is wrong with it.

{"key": "...", "predictions": [...], "image": {"format", "width", "height"}, "model": {"version", "engine"}}
{"key": "...", "error": {"code", "message"}, "status": 415}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from classifier.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

IMAGE = ("format", "width", "height")
MODEL = ("version", "engine")

type Row = dict[str, Any]


def row_of(named: Mapping[str, str], result: Mapping[str, Any], model: Mapping[str, Any] | None) -> Row:
    """The row of one result of `classify_batch`; `named` says which picture it is, and comes first."""
    if "error" in result:
        return {**named, "error": dict(result["error"]), "status": result["status"]}
    image = {name: result["image"][name] for name in IMAGE}
    return {
        **named,
        **{name: result[name] for name in ("predictions", "sure", "outputs") if name in result},
        "image": image,
        "model": {name: (model or {}).get(name) for name in MODEL},
    }


def may_pass(result: Mapping[str, Any]) -> bool:
    """Whether asking again can help: storage, model and time are ours to have (503), all else is the picture's."""
    return result.get("status") == UnavailableError.status


def as_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """JSON lines of plain ASCII: some readers take U+2028 and its like, which keys may hold, for the end of a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
