"""What people give that is no model to publish, told by content: each with the way on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from lifecycle.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

HEAD_BYTES: Final = 512
_LFS: Final = b"version https://git-lfs.github.com/spec/"
_SAVE: Final = "load it where it was made, and publish what model.save('model.keras') writes"
_SUFFIXES: Final = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".sav"), f"is a pickle, which runs code when it is opened: {_SAVE}"),
    **dict.fromkeys(
        (".pt", ".pth", ".ckpt.pt"), "is PyTorch's: export it by ONNX to a SavedModel, and publish its folder"
    ),
    **dict.fromkeys((".ckpt", ".index", ".meta"), f"is a checkpoint, which holds numbers without layers: {_SAVE}"),
    **dict.fromkeys((".yaml", ".yml"), "is YAML, which Keras reads no more: write model.to_json() instead"),
    ".onnx": "is ONNX: publish the Keras model that it was exported from, or convert it to a SavedModel (onnx2tf)",
    ".mlmodel": "is Core ML's: publish the Keras model that it was converted from",
    ".npz": f"holds numbers without layers: {_SAVE}",
    ".safetensors": f"holds numbers without layers: {_SAVE}",
    ".bin": "is a shard of weights: give the model that it belongs to",
}


def refuse_known(path: Path) -> None:
    """UsageError that names what `path` is and the way on, if it is one of those that people have beside models."""
    if path.is_dir():
        return
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if what := _what(path, head):
        raise UsageError(f"{path.name} {what}")


def refuse_pointers(folder: Path) -> None:
    """UsageError for a Git LFS pointer anywhere in a folder: what it stands for was never downloaded."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size < HEAD_BYTES and path.read_bytes().startswith(_LFS):
            refuse_known(path)


def refuse_json(path: Path, data: bytes) -> None:
    """The same for a JSON file of TensorFlow.js or Keras 1; one that can't be read is left to its reader."""
    try:
        document = json.loads(data)
        document = json.loads(document) if isinstance(document, str) else document
    except (ValueError, RecursionError):
        return
    if not isinstance(document, dict):
        return
    if "modelTopology" in document or document.get("format") in ("layers-model", "graph-model"):
        raise UsageError(f"{path.name} is TensorFlow.js's: {_from_tensorflow_js(document)}")
    if _is_keras_1(document):
        raise UsageError(
            f"{path.name} was written by Keras 1: load it with Keras 2.0 to 2.3, which read both, and save it there"
        )


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder holds a checkpoint and no graph."""
    return (folder / "checkpoint").is_file() or any(folder.glob("*.ckpt*"))


def _what(path: Path, head: bytes) -> str:
    if head.startswith(_LFS):
        return (
            "is a Git LFS pointer, not the file that it stands for: run `git lfs pull` in its repository, or download "
            "the file from the repository's page"
        )
    if head[4:8] == b"TFL3":
        return "is compiled for LiteRT already: publish the .keras, .h5 or SavedModel that it was made from"
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    if ".ckpt" in path.name or ".data-00000-of-" in path.name or path.name == "checkpoint":
        return _SUFFIXES[".ckpt"]
    return _SUFFIXES[".pkl"] if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and len(head) > 1 else ""


def _from_tensorflow_js(document: dict[str, Any]) -> str:
    if document.get("format") == "graph-model":
        return "a graph model can't be turned back: publish the model that it was converted from"
    return (
        "turn it back with `pip install tensorflowjs`, `tensorflowjs_converter --input_format tfjs_layers_model "
        "--output_format keras model.json model.h5`, and publish model.h5"
    )


def _is_keras_1(document: dict[str, Any]) -> bool:
    """By its version, or by option names that Keras 2 gave up."""
    version = document.get("keras_version")
    if isinstance(version, str):
        return version.startswith("1.")
    config = document.get("config")
    layers = config if isinstance(config, list) else config.get("layers") if isinstance(config, dict) else None
    old = {"nb_filter", "nb_row", "border_mode", "output_dim", "init", "dim_ordering"}
    return isinstance(layers, list) and any(
        isinstance(layer, dict) and isinstance(layer.get("config"), dict) and len(old & layer["config"].keys()) > 1
        for layer in layers
    )
