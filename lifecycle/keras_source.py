"""Reads what Keras wrote into architecture JSON and weights. Nothing is converted: the loader reads every Keras's form.

Only the optimizer's state stays behind, which is two thirds of a file that was saved for further training.
"""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.keras_json.architecture import read_architecture
from lifecycle.model_files import read_model_file
from lifecycle.source import HDF5, ZIP, KerasSource

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIMIZER = "optimizer"


def whole_file(path: Path) -> KerasSource:
    """What `model.save()` wrote, as a `.keras` archive or as HDF5; ModelError if it is neither, or weights only."""
    data = path.read_bytes()
    found = read_model_file(data)
    writer = read_architecture(found.architecture).writer
    return KerasSource(
        kind=".keras" if data.startswith(ZIP) else ".h5",
        path=path,
        writer=found.writer or writer,
        architecture=found.architecture,
        weights=_weights_only(found.weights),
        load=_whole_loader(path) if _is_keras_3(writer) else None,
    )


def pair(architecture: Path, weights: Path) -> KerasSource:
    """What `model.to_json()` and `model.save_weights()` wrote."""
    text = architecture.read_bytes()
    writer = read_architecture(text).writer
    keras_3 = _is_keras_3(writer)
    return KerasSource(
        kind="JSON and weights",
        path=architecture,
        writer=writer,
        architecture=text,
        weights=_weights_only(weights.read_bytes()),
        load=_pair_loader(text, weights) if keras_3 else None,
    )


def _is_keras_3(writer: str) -> bool:
    return writer.startswith("3")


def _weights_only(data: bytes) -> bytes:
    """The weights without an optimizer's state; files that hold none as they are."""
    import h5py

    if not data.startswith(HDF5):
        return data
    with h5py.File(io.BytesIO(data), "r") as whole:
        root = whole["model_weights"] if "model_weights" in whole else whole  # noqa: SIM401 - a group is no mapping
        trained = OPTIMIZER in root and "layer_names" not in root.attrs
        if root is whole and not trained:
            return data
        kept = io.BytesIO()
        with h5py.File(kept, "w") as file:
            for name in root:
                if name != OPTIMIZER or not trained:
                    root.copy(name, file)
            for name, value in root.attrs.items():
                file.attrs[name] = value
    return kept.getvalue()


def _whole_loader(path: Path) -> Callable[[], Any]:
    def load() -> Any:  # noqa: ANN401 - a keras.Model, which has no types
        import keras

        with tempfile.TemporaryDirectory() as folder:  # Keras goes by the name
            head = path.read_bytes()[:4]
            copy = Path(folder) / ("model.keras" if head == ZIP else "model.h5")
            copy.symlink_to(path.resolve())
            return keras.saving.load_model(copy, compile=False, safe_mode=True)

    return load


def _pair_loader(architecture: bytes, weights: Path) -> Callable[[], Any]:
    def load() -> Any:  # noqa: ANN401
        import h5py
        import keras

        document = json.loads(architecture)
        document = json.loads(document) if isinstance(document, str) else document
        document.pop("compile_config", None)  # training's, and it may name losses that aren't here
        model = keras.models.model_from_json(json.dumps(document))
        with h5py.File(weights, "r") as file:
            suffix = ".weights.h5" if "layers" in file and "layer_names" not in file.attrs else ".h5"
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"model{suffix}"
            copy.symlink_to(weights.resolve())
            model.load_weights(copy)
        return model

    return load
