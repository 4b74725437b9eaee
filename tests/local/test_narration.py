"""The log for people."""

from __future__ import annotations

import json

import pytest

from local.narration import sentence

REQUEST = {"message": "request", "level": "info", "time": "2026-11-29T13:36:54.123Z", "method": "GET"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("START RequestId: 1 Version: $LATEST\n", None),
        ("REPORT RequestId: 1 Duration: 3 ms", None),
        ("", None),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ('{"errorType": "X", "errorMessage": "y"}', '{"errorType": "X", "errorMessage": "y"}'),
        (
            REQUEST | {"route": "/classify", "status": 200, "ms": 5.1, "engine": "litert", "cold_start": True},
            "13:36:54  GET /classify 200 in 5.1 ms by litert, cold",
        ),
        (
            REQUEST | {"route": "/classify", "status": 400, "ms": 0.2, "error": "MissingInputError: nothing"},
            "13:36:54  GET /classify 400 in 0.2 ms: MissingInputError: nothing",
        ),
        ({"message": "compile", "result": "compiled before", "time": "2026-11-29T13:36:54.123Z"}, None),
        (
            {"message": "compile", "result": "compiled", "usable": False, "version": "a1", "reason": "no Lambda"},
            "  model a1 is not compiled, TensorFlow serves it: no Lambda",
        ),
        ({"message": "model loaded", "version": "a1", "engine": "litert"}, "  model a1 is loaded, litert serves it"),
        ({"message": "the bundle is refused", "error": "E: why"}, "  the bundle is refused: E: why"),
    ],
)
def test_a_line_is_a_sentence_or_nothing(line: str | dict[str, object], expected: str | None) -> None:
    assert sentence(line if isinstance(line, str) else json.dumps(line)) == expected


@pytest.mark.parametrize("char", ["\u009b", "\u2028", "\u202e", "\x1b", "\n"])
def test_a_callers_controls_do_not_reach_the_terminal(char: str) -> None:
    line = json.dumps({"message": "request", "time": "", "route": f"GET /{char}", "error": char})
    said = sentence(line)
    assert said is not None
    assert said.isprintable()
