"""The log: one JSON line an event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from classifier import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    yield
    logs.configure("info")


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_event_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.emit("info", "hello\nworld", fields={"key": "images/ä.jpg", "list": (1, 2)})
    (line,) = _lines(capsys)
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "message": "hello\nworld", "key": "images/ä.jpg", "list": [1, 2]}


def test_only_errors_carry_a_stack(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("no")
    error.__cause__ = KeyError("why")
    logs.emit("warning", "refused", error=error)
    logs.emit("error", "broken", error=error)
    warning, broken = _lines(capsys)
    assert (warning["error"], "stack" in warning) == ("ValueError: no", False)
    assert "KeyError: 'why'" in broken["stack"]


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_events_below_the_level_are_dropped(level: str, shown: int, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level)
    for each in logs.LEVELS:
        logs.emit(each, "x")
    assert len(_lines(capsys)) == shown


def test_half_a_surrogate_pair_and_unknown_types_do_not_stop_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    logs.emit("info", "odd", fields={"key": "\ud800", "set": {1}})
    (line,) = _lines(capsys)
    assert line["set"] == "{1}"
    assert line["key"] == "\ud800"
