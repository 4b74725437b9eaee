"""What can be published: which kind of model the paths on the command line are, told by content, not by name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lifecycle.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"
KINDS = "a .keras file, an .h5 file, architecture JSON and weights, a SavedModel folder, or a frozen GraphDef (.pb)"


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


def read_source(paths: Sequence[Path], input_name: str | None = None, output_name: str | None = None) -> Source:
    """Read the model; UsageError where the paths are none, ModelError where its files are broken."""
    from lifecycle import keras_source

    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no {path}")
    if len(paths) == 2:
        return keras_source.pair(*_json_first(paths[0], paths[1]))
    path = paths[0]
    if path.is_dir():
        return _folder(path, input_name, output_name)
    if _head(path) in (ZIP, HDF5):
        return keras_source.whole_file(path)
    if path.name == "saved_model.pb":
        raise UsageError(f"{path} is a part of a SavedModel: give its folder")
    if path.suffix == ".pb":
        if not input_name or not output_name:
            raise UsageError(f"{path.name} is a frozen graph: name its tensors with --input and --output")
        return GraphSource(kind="GraphDef", path=path, writer="TensorFlow", input=input_name, output=output_name)
    raise UsageError(f"{path} is not a model that can be published: give {KINDS}")


def sha256_of(path: Path) -> str:
    """The file's SHA-256; of a folder, that of its files' names and SHA-256s."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(item for item in path.rglob("*") if item.is_file())
    lines = "".join(f"{item.relative_to(path).as_posix()} {sha256_of(item)}\n" for item in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _folder(path: Path, input_name: str | None, output_name: str | None) -> Source:
    from lifecycle import keras_source

    if (path / "saved_model.pb").is_file():
        return GraphSource(
            kind="SavedModel", path=path, writer="TensorFlow", input=input_name, output=output_name or "serving_default"
        )
    jsons = [item for item in (path / "architecture.json", path / "model.json") if item.is_file()]
    weights = [item for item in _weights_in(path) if item.is_file()]
    if not jsons or not weights:
        raise UsageError(f"{path} holds no model: expected saved_model.pb, or architecture.json and model.weights.h5")
    return keras_source.pair(jsons[0], weights[0])


def _weights_in(path: Path) -> list[Path]:
    named = [path / name for name in ("model.weights.h5", "weights.weights.h5", "weights.h5")]
    return [*named, *sorted(path.glob("*.weights.h5"))]


def _json_first(one: Path, other: Path) -> tuple[Path, Path]:
    heads = [_head(path) == HDF5 for path in (one, other)]
    if heads == [False, True]:
        return one, other
    if heads == [True, False]:
        return other, one
    raise UsageError(f"{one} and {other}: of two files one must be architecture JSON and one HDF5 weights")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(8)
    return head[:4] if head.startswith(ZIP) else head
