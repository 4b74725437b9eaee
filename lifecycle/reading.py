"""Which kind of model the paths on the command line are, told by content, not by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lifecycle import keras_source
from lifecycle.errors import UsageError
from lifecycle.source import HDF5, ZIP, GraphSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lifecycle.source import Source

KINDS = "a .keras file, an .h5 file, architecture JSON and weights, a SavedModel folder, or a frozen GraphDef (.pb)"


def read_source(paths: Sequence[Path], input_name: str | None = None, output_name: str | None = None) -> Source:
    """Read the model; UsageError where the paths are none, ModelError where its files are broken."""
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


def _folder(path: Path, input_name: str | None, output_name: str | None) -> Source:
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
