"""What a verb tells while it works: that it still does, and how far it is, every few seconds."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lifecycle.console import Console, paced

if TYPE_CHECKING:
    import pytest


def test_what_takes_long_says_that_it_goes_on_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    twice = threading.Event()

    def progress(_: Console, line: str) -> None:
        lines.append(line)
        if len(lines) > 2:
            twice.set()

    monkeypatch.setattr(Console, "progress", progress)
    with Console().working("comparing", every_s=0.001):
        assert twice.wait(60)
    assert lines[:3] == ["comparing", "still comparing", "still comparing"]
    assert not [thread for thread in threading.enumerate() if "beat" in thread.name]


def test_lines_that_come_too_soon_are_left_out() -> None:
    lines: list[str] = []
    for every_s in (0.0, 3600.0):
        paced(lines.append, every_s)(f"after {every_s:g}")
    assert lines == ["after 0"]
