"""CloudWatch's side of the Embedded Metric Format: what it accepts, and the metrics that it takes out of a line.

The schema says what the specification says, in our words:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]

UNITS = [
    *("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"),
    *(
        f"{size}{what}{rate}"
        for size in ("", "Kilo", "Mega", "Giga", "Tera")
        for what in ("bytes", "bits")
        for rate in ("", "/Second")
        if size
    ),
    *("Bytes", "Bits", "Bytes/Second", "Bits/Second"),
]


def _text(most: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": most}


_DEFINITION = {
    "type": "object",
    "required": ["Name"],
    "properties": {"Name": _text(1024), "Unit": {"enum": UNITS}, "StorageResolution": {"enum": [1, 60]}},
    "additionalProperties": False,
}
_DIMENSIONS = {"type": "array", "minItems": 1, "items": {"type": "array", "maxItems": 30, "items": _text(250)}}
_DIRECTIVE = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "properties": {
        "Namespace": {**_text(1024), "pattern": r"^[^:]"},
        "Dimensions": _DIMENSIONS,
        "Metrics": {"type": "array", "maxItems": 100, "items": _DEFINITION},
    },
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {"type": "array", "items": _DIRECTIVE},
            },
        }
    },
}


def extracted(line: dict[str, Any], namespace: str) -> dict[str, float]:
    """The metrics of a line, as `name` or `name dimension=value`; {} for a line without any.

    Fails where CloudWatch would drop the line: it breaks the schema, a target is missing, not at the top, or no number.
    """
    if "_aws" not in line:
        return {}
    jsonschema.validate(line, SCHEMA)
    found = {}
    for directive in line["_aws"]["CloudWatchMetrics"]:
        assert directive["Namespace"] == namespace
        for dimensions in directive["Dimensions"]:
            assert all(isinstance(line[name], str) and 0 < len(line[name]) <= 1024 for name in dimensions)
            suffix = "".join(f" {name}={line[name]}" for name in dimensions)
            for definition in directive["Metrics"]:
                value = line[definition["Name"]]
                assert isinstance(value, int | float)
                assert not isinstance(value, bool)
                found[definition["Name"] + suffix] = value
    return found
