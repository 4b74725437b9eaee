"""The log: one JSON line an event, on standard output, where Lambda picks it up.

Callers pass no picture, no credential and no URL with its query.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_threshold = LEVELS["info"]


def set_level(level: str) -> None:
    """Drop events below `level` (debug, info, warning, error)."""
    global _threshold
    _threshold = LEVELS[level]


def emit(
    level: str, message: str, *, error: BaseException | None = None, fields: Mapping[str, object] | None = None
) -> None:
    """Write one event; `error` adds its type and text, and at level error its stack."""
    if LEVELS[level] < _threshold:
        return
    line: dict[str, object] = {"level": level, "message": message, "time": _now(), **(fields or {})}
    if error is not None:
        line["error"] = f"{type(error).__name__}: {error}"
        if level == "error":
            line["stack"] = "".join(traceback.format_exception(error))
    text = json.dumps(line, ensure_ascii=False, default=str)
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")  # half a surrogate pair has no UTF-8
    sys.stdout.flush()


def _now() -> str:
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
