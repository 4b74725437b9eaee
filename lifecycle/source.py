"""What can be published: a model that Keras wrote, or a TensorFlow graph."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasSource:
    """A model that Keras wrote: architecture and weights as the bundle will hold them, and its own way to be loaded."""

    kind: str
    path: Path
    writer: str
    architecture: bytes = field(repr=False)
    weights: bytes = field(repr=False)
    load: Callable[[], Any] | None = None
    """Loads it by Keras's own means; None for Keras 2's files, which today's Keras misreads."""

    @property
    def text(self) -> str:
        """What published.json says of it."""
        return f"{self.kind} {self.path.name}, written by Keras {self.writer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSource:
    """A TensorFlow graph without Keras layers: nothing can rebuild it, so only its compiled form is published."""

    kind: str
    path: Path
    writer: str
    input: str | None = None
    output: str | None = None

    @property
    def text(self) -> str:
        """What published.json says of it."""
        return f"{self.kind} {self.path.name}, written by {self.writer}"


type Source = KerasSource | GraphSource


def sha256_of(path: Path) -> str:
    """The file's SHA-256; of a folder, that of its files' names and SHA-256s."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(item for item in path.rglob("*") if item.is_file())
    lines = "".join(f"{item.relative_to(path).as_posix()} {sha256_of(item)}\n" for item in files)
    return hashlib.sha256(lines.encode()).hexdigest()
