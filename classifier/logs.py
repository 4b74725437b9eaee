"""The log: one JSON line an event, on standard output, where Lambda picks it up, and CloudWatch the metrics in it.

Callers pass no picture, no credential and no URL with its query.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from typing import TYPE_CHECKING

from classifier import metrics
from classifier.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_threshold = LEVELS["info"]
_namespace = ""


def configure(level: str, namespace: str = "") -> None:
    """Drop events below `level` (debug, info, warning, error); without a namespace there are no metrics."""
    global _threshold, _namespace
    _threshold, _namespace = LEVELS[level], namespace


def emit(
    level: str, message: str, *, error: BaseException | None = None, fields: Mapping[str, object] | None = None
) -> None:
    """Write one event; `error` adds its type and text, and at level error its stack."""
    if LEVELS[level] < _threshold:
        return
    now = time.time()
    line: dict[str, object] = {"level": level, "message": message, "time": _written(now), **(fields or {})}
    if error is not None:
        line["error"] = f"{type(error).__name__}: {error}"
        if level == "error":
            line["stack"] = "".join(traceback.format_exception(error))
    text = printable(json.dumps(line, ensure_ascii=False, default=str, separators=(",", ":")))
    if _namespace and (envelope := metrics.envelope(line, _namespace, int(now * 1000))):
        text = f'{text[:-1]},"_aws":{envelope}}}'
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _written(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
