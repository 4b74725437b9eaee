"""How far it is, on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.console import Console

WIDTH = 30
EVERY_S = 10.0
BAR_EVERY_S = 0.2


class Progress:
    """Counts pictures; `before` of them were done by an earlier start."""

    def __init__(self, console: Console, total: int, before: int) -> None:
        self._console, self._total, self._before = console, total, before
        self._done = before
        self._started = self._told = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def advance(self, pictures: int) -> None:
        """So many more are done."""
        self._done += pictures
        now = time.monotonic()
        if now - self._told >= (BAR_EVERY_S if self._terminal else EVERY_S) or self._done >= self._total:
            self._told = now
            self._tell()

    @property
    def per_second(self) -> float:
        """Pictures of this start, by its time."""
        return (self._done - self._before) / max(time.monotonic() - self._started, 1e-9)

    def _tell(self) -> None:
        left = (self._total - self._done) / max(self.per_second, 1e-9)
        text = f"{self._done:,} of {self._total:,} pictures, {self.per_second:.0f}/s, {_duration(left)} left"
        if not self._terminal:
            self._console.progress(text)
            return
        filled = WIDTH * self._done // self._total
        end = "\n" if self._done >= self._total else ""
        print(f"\r[{'#' * filled}{'.' * (WIDTH - filled)}] {text}\x1b[K{end}", end="", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
