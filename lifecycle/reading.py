"""Which kind of model the files are that were found, told by content, not by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lifecycle import graph_def, keras_source
from lifecycle.containers import HDF5, ZIP, head_of
from lifecycle.errors import UsageError
from lifecycle.source import GraphSource

if TYPE_CHECKING:
    from pathlib import Path

    from lifecycle.containers import Found
    from lifecycle.source import Source

KINDS = (
    "a .keras or .h5 file, architecture JSON and weights, a SavedModel's folder, a frozen GraphDef (.pb), or a zip or "
    "folder of one of these"
)


def read_source(found: Found, input_name: str | None = None, output_name: str | None = None) -> Source:
    """Read the model; UsageError where the files are none, ModelError where they are broken."""
    if len(found.paths) == 2:
        return keras_source.pair(*_json_first(*found.paths))
    path = found.paths[0]
    if path.is_dir():
        return GraphSource(
            kind="SavedModel", path=path, writer="TensorFlow", input=input_name, output=output_name or "serving_default"
        )
    if head_of(path) in (ZIP, HDF5):
        return keras_source.whole_file(path)
    if path.name == "saved_model.pb":
        raise UsageError(f"{path} is a part of a SavedModel: give its folder")
    if path.suffix == ".pb":
        if not input_name or not output_name:
            raise UsageError(f"{path.name} is a frozen graph: {graph_def.advice(path)}")
        return GraphSource(kind="GraphDef", path=path, writer="TensorFlow", input=input_name, output=output_name)
    raise UsageError(f"{path} is not a model that can be published: give {KINDS}")


def _json_first(one: Path, other: Path) -> tuple[Path, Path]:
    heads = [head_of(path) == HDF5 for path in (one, other)]
    if sum(heads) == 1:
        text, weights = (one, other) if heads[1] else (other, one)
        if head_of(text).lstrip()[:1] in (b"{", b'"', b"\xef"):  # an object, a JSON text that holds one, UTF-8's mark
            return text, weights
    raise UsageError(
        f"{one} and {other}: of two files one must be architecture JSON and one HDF5 weights; labels go with --labels"
    )
