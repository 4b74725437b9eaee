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
from lifecycle.containers import HDF5, ZIP
from lifecycle.model_files import read_model_file
from lifecycle.not_models import refuse_json
from lifecycle.source import KerasSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OPTIMIZER = "optimizer"
MOST_BYTES_A_NUMBER = 8


def whole_file(path: Path) -> KerasSource:
    """What `model.save()` wrote, as a `.keras` archive or as HDF5; ModelError if it is neither, or weights only."""
    data = path.read_bytes()
    found = read_model_file(data)
    return _source(".keras" if data.startswith(ZIP) else ".h5", path, found.architecture, found.weights, found.writer)


def pair(architecture: Path, weights: Path) -> KerasSource:
    """What `model.to_json()` and `model.save_weights()` wrote."""
    text = architecture.read_bytes()
    refuse_json(architecture, text)
    return _source("JSON and weights", architecture, text, weights.read_bytes())


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
    """Loads them by Keras's own means, out of a fresh file with nothing else in it."""

    def load() -> Any:  # noqa: ANN401 - a keras.Model, which has no types
        import keras

        document = json.loads(architecture)
        document = json.loads(document) if isinstance(document, str) else document
        document.pop("compile_config", None)  # training's, and it may name losses that aren't here
        with tempfile.TemporaryDirectory() as folder:  # Keras goes by the name
            if "module" not in document:  # as Keras 3 writes it into HDF5, and reads it from there only
                path = Path(folder) / "model.h5"
                _write_whole(path, document, weights)
                return keras.saving.load_model(path, compile=False, safe_mode=True)
            model = keras.models.model_from_json(json.dumps(document))
            path = Path(folder) / f"model{_suffix(weights)}"
            path.write_bytes(weights)
            model.load_weights(path)
        return model

    return load


def _suffix(weights: bytes) -> str:
    import h5py

    with h5py.File(io.BytesIO(weights), "r") as file:
        return ".weights.h5" if "layers" in file and "layer_names" not in file.attrs else ".h5"


def _write_whole(path: Path, document: Mapping[str, Any], weights: bytes) -> None:
    """What `model.save("x.h5")` writes, without training's part."""
    import h5py

    with h5py.File(io.BytesIO(weights), "r") as kept, h5py.File(path, "w") as file:
        group = file.create_group("model_weights")
        for name in kept:
            kept.copy(name, group)
        for name, value in kept.attrs.items():
            group.attrs[name] = value
        file.attrs["model_config"] = json.dumps({name: document[name] for name in ("class_name", "config")})
        for name in ("keras_version", "backend"):
            if name in document:
                file.attrs[name] = document[name]
