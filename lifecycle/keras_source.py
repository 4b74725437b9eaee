"""Reads what Keras wrote into architecture JSON and weights. Nothing is converted: the loader reads every Keras's form.

Only the optimizer's state stays behind, which is two thirds of a file that was saved for further training. A stranger's
file is opened by our own readers alone: whatever else an archive holds (assets, other weights) is not unpacked.
"""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.keras_json.architecture import read_architecture
from classifier.keras_json.limits import Limits
from classifier.keras_weights.store import open_store
from lifecycle.model_files import read_model_file
from lifecycle.source import HDF5, ZIP, KerasSource

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIMIZER = "optimizer"
MOST_BYTES_A_NUMBER = 8


def whole_file(path: Path) -> KerasSource:
    """What `model.save()` wrote, as a `.keras` archive or as HDF5; ModelError if it is neither, or weights only."""
    data = path.read_bytes()
    found = read_model_file(data)
    return _source(".keras" if data.startswith(ZIP) else ".h5", path, found.architecture, found.weights, found.writer)


def pair(architecture: Path, weights: Path) -> KerasSource:
    """What `model.to_json()` and `model.save_weights()` wrote."""
    return _source("JSON and weights", architecture, architecture.read_bytes(), weights.read_bytes())


def _source(kind: str, path: Path, text: bytes, data: bytes, writer: str | None = None) -> KerasSource:
    """The two as the bundle will hold them. Keras itself is given nothing else of the file, and nothing unchecked."""
    found = read_architecture(text)
    weights = _weights_only(data)
    return KerasSource(
        kind=kind,
        path=path,
        writer=writer or found.writer,
        architecture=text,
        weights=weights,
        load=_loader(text, weights) if found.writer.startswith("3") else None,
    )


def _weights_only(data: bytes) -> bytes:
    """The weights without an optimizer's state; files that hold none as they are.

    ModelError and its classes for a file that reads elsewhere or is no whole HDF5 file.
    """
    import h5py

    if not data.startswith(HDF5):
        return data
    with open_store(data, Limits().max_parameters * MOST_BYTES_A_NUMBER) as store:
        whole = store.file
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


def _loader(architecture: bytes, weights: bytes) -> Callable[[], Any]:
    def load() -> Any:  # noqa: ANN401 - a keras.Model, which has no types
        import h5py
        import keras

        document = json.loads(architecture)
        document = json.loads(document) if isinstance(document, str) else document
        document.pop("compile_config", None)  # training's, and it may name losses that aren't here
        model = keras.models.model_from_json(json.dumps(document))
        with h5py.File(io.BytesIO(weights), "r") as file:
            suffix = ".weights.h5" if "layers" in file and "layer_names" not in file.attrs else ".h5"
        with tempfile.TemporaryDirectory() as folder:  # Keras goes by the name
            copy = Path(folder) / f"model{suffix}"
            copy.write_bytes(weights)
            model.load_weights(copy)
        return model

    return load
