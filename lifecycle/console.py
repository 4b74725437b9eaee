"""What a verb tells: progress as lines on stderr, its result on stdout, as text or (--json) as one JSON object."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from classifier.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

EVERY_S = 4.0
"""Seconds after which a verb that is still at the same thing says so."""


@dataclass(frozen=True, slots=True)
class Console:
    """One verb's voice; `started` is by time.monotonic()."""

    as_json: bool = False
    started: float = field(default_factory=time.monotonic)

    def progress(self, line: str) -> None:
        """Say what is being done now, with the seconds since the start."""
        _print(f"[{time.monotonic() - self.started:6.1f} s] {line}", sys.stderr)

    @contextmanager
    def working(self, line: str, every_s: float = EVERY_S) -> Iterator[None]:
        """Say what is being done now, and every few seconds that it still is, until it is done."""
        self.progress(line)
        done = threading.Event()

        def beat() -> None:
            while not done.wait(every_s):
                self.progress(f"still {line}")

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def warn(self, line: str) -> None:
        """Say what deserves a look."""
        _print(f"Warning: {line}", sys.stderr)

    def result(self, document: Mapping[str, Any], lines: Sequence[str]) -> None:
        """Give the result: the document with --json, else the lines; how to undo it comes last in both."""
        _print(json.dumps(document, indent=1) if self.as_json else "\n".join(lines), sys.stdout)


def _print(text: str, file: TextIO) -> None:
    """Names of keys, layers and labels are whoever's who wrote them: what would drive a terminal is written out."""
    print("\n".join(map(printable, text.split("\n"))), file=file, flush=True)


def paced(tell: Callable[[str], None], every_s: float = EVERY_S) -> Callable[[str], None]:
    """The same, but for lines that come sooner than `every_s` after the last that was told, or after now."""
    last = time.monotonic()

    def told(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            tell(line)

    return told


def table(rows: Sequence[Sequence[object]]) -> list[str]:
    """Rows as lines with columns of equal width; the first row is the heading."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts]


def megabytes(size: int) -> str:
    """A size as people read it."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
