"""The arithmetic that LiteRT does for the pipelines: small programs, made by tools/pixels.

Each operation is rounded to float32 by itself, as in TensorFlow's kernels, and XNNPACK does eight numbers at a time
where Pillow does one.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.litert_c import LiteRtError, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

type Shapes = tuple[tuple[int, ...], ...]


class ProgramError(Exception):
    """LiteRT can't run a program of ours: no fault of the picture's."""


@contextmanager
def running(file: str, shapes: Shapes = ()) -> Iterator[Program]:
    """The program in that file, for inputs of those shapes or the file's own, to one thread at a time."""
    try:
        program, lock = _program(file, shapes)
        with lock:
            yield program
    except LiteRtError as error:
        raise ProgramError(f"{file} for {shapes}: {error}") from error


@lru_cache(4)
def _program(file: str, shapes: Shapes) -> tuple[Program, threading.Lock]:
    """Made anew, it would cost more than what it does."""
    return Program((Path(__file__).parent / file).read_bytes(), 1, shapes), threading.Lock()
