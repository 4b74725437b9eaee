"""Metrics in the log's lines: CloudWatch's Embedded Metric Format, checked against its specification."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from classifier import logs, metrics
from tests.support.emf import extracted

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMESPACE = "keras-classifier/test"
MODEL = {"name": "classifier", "version": "10fbeab8e23acd94", "engine": "litert"}
GOOD = {
    "request_id": "r",
    "cold_start": False,
    "route": "POST /classify",
    "source": "upload",
    "model": MODEL,
    "timings_ms": {"fetch": 0.0, "decode": 2.7, "infer": 1.9, "total": 5.0},
}
EVERY = {"requests": 1, "ms": 5.2}


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    logs.configure("info", NAMESPACE)
    yield
    logs.configure("info")


def logged(capsys: pytest.CaptureFixture[str], fields: dict[str, Any]) -> dict[str, Any]:
    logs.emit("info", "request", fields=fields)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(
    ("log", "status", "expected"),
    [
        (GOOD, 200, EVERY | {"fetch_ms": 0.0, "decode_ms": 2.7, "infer_ms engine=litert": 1.9}),
        ({"request_id": "r", "cold_start": True}, 200, EVERY | {"cold_starts": 1}),
        (
            {"request_id": "r", "cold_start": False, "code": "invalid_image"},
            422,
            EVERY | {"client_errors": 1, "errors code=invalid_image": 1},
        ),
        (
            {"request_id": "r", "cold_start": False, "code": "model_loading"},
            503,
            EVERY | {"server_errors": 1, "errors code=model_loading": 1},
        ),
        ({"request_id": "r", "cold_start": False, "model": None, "timings_ms": {}}, 200, EVERY),
        (
            {"request_id": "r", "cold_start": False, "role": "canary", "shadowed": 1, "disagreements": 0},
            200,
            EVERY
            | {"server_errors": 0}  # not a gap: an alarm compares the roles
            | {
                f"{name} role=canary": number
                for name, number in {**EVERY, "server_errors": 0, "shadowed": 1, "disagreements": 0}.items()
            },
        ),
        (GOOD | {"timings_ms": {"pull": 9.0, "load": 30.0}}, 200, EVERY | {"load_ms": 30.0}),
    ],
)
def test_cloudwatch_reads_from_a_requests_line(
    log: dict[str, Any], status: int, expected: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    line = logged(capsys, metrics.of_request(log, status, 5.2))
    assert extracted(line, NAMESPACE) == expected
    assert (line["request_id"], line["status"]) == ("r", status)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"result": "compiled", "usable": True}, {"models_compiled": 1}),
        ({"result": "compiled", "usable": False, "reason": "drift"}, {"compiles_refused": 1}),
        ({"result": "compiled before", "usable": True}, {}),
        ({"result": "no whole bundle"}, {}),
    ],
)
def test_cloudwatch_reads_from_what_came_of_compiling(
    result: dict[str, Any], expected: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    line = logged(capsys, metrics.of_compile(result))
    assert {name: line[name] for name in result} == result
    assert extracted(line, NAMESPACE) == expected


def test_a_field_without_its_dimension_is_no_metric(capsys: pytest.CaptureFixture[str]) -> None:
    assert extracted(logged(capsys, {"infer_ms": 1.0, "ms": 2.0}), NAMESPACE) == {"ms": 2.0}


def test_a_line_without_metrics_or_a_log_without_namespace_has_no_envelope(capsys: pytest.CaptureFixture[str]) -> None:
    assert "_aws" not in logged(capsys, {"name": "cats"})
    logs.configure("info")
    assert "_aws" not in logged(capsys, metrics.of_request(GOOD, 200, 5.2))


def test_the_time_of_the_metrics_is_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    line = logged(capsys, {"requests": 1})
    assert line["time"].endswith(f".{line['_aws']['Timestamp'] % 1000:03d}Z")


def test_metrics_that_could_multiply_are_few() -> None:
    """Each value of a dimension is paid by the month: docs/operate/logs.md says which fields are worth it."""
    assert {name for dimensions in metrics.METRICS for name in dimensions} == {"engine", "code", "role"}
    assert sum(map(len, metrics.METRICS.values())) <= 23
