"""Which fields of a log line are metrics: CloudWatch's Embedded Metric Format, in the line that is written anyway.

A metric has the name of its field. What may become a dimension is decided here and nowhere else, because each value of
a dimension is a metric of its own that is paid by the month: only what has few values and is watched by itself.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

METRICS: Mapping[tuple[str, ...], tuple[str, ...]] = {
    (): (
        *("requests", "client_errors", "server_errors", "cold_starts"),
        *("ms", "fetch_ms", "load_ms", "decode_ms"),
        *("models_loaded", "models_refused", "checks_failed"),
        *("models_compiled", "compiles_refused"),
        "unsure",
        *("captured", "captures_failed"),
    ),
    ("engine",): ("infer_ms",),
    ("code",): ("errors",),
    ("role",): ("requests", "server_errors", "ms", "shadowed", "disagreements"),
}
"""Metrics by their dimensions, which are fields of the line, too. `_ms` says the unit; everything else is a count."""


_MATTERS = {name for dimensions, names in METRICS.items() for name in (*dimensions, *names)}


def envelope(line: Mapping[str, object], namespace: str, timestamp_ms: int) -> str:
    """The `_aws` member that makes metrics of a line's fields, as JSON; empty when there are none among them."""
    directives = _directives(namespace, tuple(name for name in line if name in _MATTERS))
    return f'{{"Timestamp":{timestamp_ms},"CloudWatchMetrics":{directives}}}' if directives else ""


@cache  # there are few kinds of lines, and writing their JSON anew would double what a line costs
def _directives(namespace: str, fields: tuple[str, ...]) -> str:
    directives = []
    for dimensions, names in METRICS.items():
        found = [_definition(name) for name in names if name in fields]
        if found and set(dimensions) <= set(fields):
            directives.append({"Namespace": namespace, "Dimensions": [dimensions], "Metrics": found})
    return json.dumps(directives, separators=(",", ":")) if directives else ""


def of_request(log: Mapping[str, Any], status: int, milliseconds: float) -> dict[str, object]:
    """A request's fields as they are logged: flat, as metrics and queries want them, with what there is to count."""
    fields = {name: value for name, value in log.items() if name not in ("model", "timings_ms")}
    if model := log.get("model"):
        fields |= {"model": model["name"], "version": model["version"], "engine": model["engine"]}
    fields |= durations(log.get("timings_ms", {}))
    fields |= {"status": status, "ms": round(milliseconds, 1), "requests": 1}
    if log["cold_start"]:
        fields["cold_starts"] = 1
    if status >= 400:
        fields["server_errors" if status >= 500 else "client_errors"] = 1
    if "role" in fields:
        fields.setdefault("server_errors", 0)  # an alarm compares roles: none must be a number, not a gap
    if "code" in log:
        fields["errors"] = 1
    return fields


def doubts(answers: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many answers are not sure; nothing of a model without a threshold."""
    told = [answer["sure"] for answer in answers if "sure" in answer]
    return {"unsure": told.count(False)} if told else {}


def of_compile(result: Mapping[str, Any]) -> dict[str, object]:
    """What came of compiling, counted if there was something to compile."""
    if result["result"] != "compiled":
        return dict(result)
    return {**result, "models_compiled" if result["usable"] else "compiles_refused": 1}


def durations(timings_ms: Mapping[str, float]) -> dict[str, float]:
    """Phases as fields of a line."""
    return {f"{phase}_ms": duration for phase, duration in timings_ms.items()}


def _definition(name: str) -> dict[str, str]:
    # A count goes without a unit: each byte of a line is paid by the million.
    return {"Name": name, "Unit": "Milliseconds"} if name == "ms" or name.endswith("_ms") else {"Name": name}
