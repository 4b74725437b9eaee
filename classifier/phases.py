"""Measuring phases in milliseconds, for replies, Server-Timing and the log."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Phases:
    """Durations by phase, in the order in which the phases ended."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.timings_ms: dict[str, float] = {}

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the duration of the block to `phase`, also when the block fails."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timings_ms[phase] = self.timings_ms.get(phase, 0.0) + _milliseconds(started)

    def finish(self) -> dict[str, float]:
        """All phases and `total`, rounded to hundredths of a millisecond."""
        timings = {**self.timings_ms, "total": _milliseconds(self._started)}
        return {phase: round(duration, 2) for phase, duration in timings.items()}


def _milliseconds(since: float) -> float:
    return (time.perf_counter() - since) * 1000
