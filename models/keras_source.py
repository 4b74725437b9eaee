"""Reads what Keras wrote into architecture JSON and weights. Nothing is converted: the loader reads every Keras's form.

What is changed: the writer's version is put into the JSON where only the file around it had it, and of a whole-model
HDF5 file the optimizer's state stays behind.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.errors import ModelError
from models.source import HDF5, ZIP, KerasSource

if TYPE_CHECKING:
    from collections.abc import Callable

    import h5py

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def keras_file(path: Path) -> KerasSource:
    """A `.keras` file: a zip of configuration, metadata and weights (Keras 3, tf.keras from 2.12 on)."""
    try:
        with zipfile.ZipFile(path) as file:
            config, metadata, weights = (file.read(name) for name in (_CONFIG, _METADATA, _WEIGHTS))
        writer = str(json.loads(metadata).get("keras_version", "3"))
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError) as error:
        raise ModelError(f"{path.name} is not a whole .keras file: {error}") from error
    return KerasSource(
        kind=".keras",
        path=path,
        writer=writer,
        architecture=_with_version(config, writer),
        weights=weights,
        load=_whole_loader(path) if _is_keras_3(writer) else None,
    )


def whole_hdf5(path: Path) -> KerasSource:
    """What `model.save()` wrote as HDF5; ModelError if there are weights in it, but no model."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            config, writer = _text(file, "model_config"), _text(file, "keras_version") or "2 (unnamed)"
    except OSError as error:
        raise ModelError(f"{path.name} is not a whole HDF5 file: {error}") from error
    if config is None:
        raise ModelError(f"{path.name} holds weights, but no architecture: give the JSON as well, before it")
    return KerasSource(
        kind=".h5",
        path=path,
        writer=writer,
        architecture=_with_version(config.encode(), writer),
        weights=_weights_only(path.read_bytes()),
        load=_whole_loader(path) if _is_keras_3(writer) else None,
    )


def pair(architecture: Path, weights: Path) -> KerasSource:
    """What `model.to_json()` and `model.save_weights()` wrote."""
    from classifier.keras_json import read_architecture

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


def _with_version(config: bytes, writer: str) -> bytes:
    """Keras 2 keeps its version beside the configuration; a bundle has nothing beside it."""
    try:
        document = json.loads(config)
    except ValueError as error:
        raise ModelError(f"the model's configuration is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise ModelError("the model's configuration is no JSON object")
    if _is_keras_3(writer) or "keras_version" in document:
        return config
    return json.dumps({**document, "keras_version": writer}).encode()


def _weights_only(data: bytes) -> bytes:
    """The weights of a whole-model file in the form of `save_weights`; other files as they are."""
    import io

    import h5py

    if not data.startswith(HDF5):
        return data
    with h5py.File(io.BytesIO(data), "r") as whole:
        if "model_weights" not in whole:
            return data
        kept = io.BytesIO()
        with h5py.File(kept, "w") as file:
            group = whole["model_weights"]
            for name in group:
                group.copy(name, file)
            for name, value in group.attrs.items():
                file.attrs[name] = value
    return kept.getvalue()


def _text(file: h5py.File, name: str) -> str | None:
    value = file.attrs.get(name)
    return value.decode() if isinstance(value, bytes) else value


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
        text = document if isinstance(document, str) else architecture.decode("utf-8-sig")
        model = keras.models.model_from_json(text)
        with h5py.File(weights, "r") as file:
            suffix = ".weights.h5" if "layers" in file and "layer_names" not in file.attrs else ".h5"
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / f"model{suffix}"
            copy.symlink_to(weights.resolve())
            model.load_weights(copy)
        return model

    return load
