"""Whole-model files as bundles: the architecture and the weights out of a `.h5` or a `.keras`, told by content.

Used by `publish`; the function itself is given the two apart.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from classifier.errors import ModelError, ModelTooLargeError
from classifier.keras_json import document, losses
from classifier.keras_json.limits import Limits

if TYPE_CHECKING:
    from classifier.documents import Json

_HDF5: Final = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a whole-model file holds: `architecture` as `to_json()` writes it, `weights` an HDF5 file."""

    architecture: bytes
    weights: bytes
    writer: str | None


def read_model_file(data: bytes, limits: Limits | None = None) -> ModelFile:
    """Take a whole-model file apart: HDF5 (`model.save("x.h5")`, also `.keras` until TensorFlow 2.12) or an archive.

    Raises ModelError for a file that is neither, that holds weights only, or that is broken; ModelTooLargeError.
    """
    limits = limits or Limits()
    if data.startswith(_HDF5):
        return _from_hdf5(data, limits)
    if zipfile.is_zipfile(io.BytesIO(data)):
        return _from_archive(data, limits)
    raise ModelError("the file is neither HDF5 nor a .keras archive")


def _from_hdf5(data: bytes, limits: Limits) -> ModelFile:
    from classifier.keras_weights.store import open_store

    with open_store(data, limits.max_parameters * 4) as store:
        config, writer, backend = (store.text("", name) for name in ("model_config", "keras_version", "backend"))
        trained = store.text("", "training_config")
    if config is None:
        raise ModelError("the HDF5 file holds weights only: give the architecture JSON too")
    return ModelFile(_with_writer(config.encode(), writer, limits, backend, trained), data, writer)


def _from_archive(data: bytes, limits: Limits) -> ModelFile:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            config = _member(archive, "config.json", limits.max_json_bytes)
            weights = _member(archive, "model.weights.h5", min(limits.max_parameters * 12, len(data) * 20))
            metadata = document.parse(_member(archive, "metadata.json", 2**16), limits)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"the .keras archive is broken: {error}") from error
    writer = metadata.get("keras_version")
    writer = writer if isinstance(writer, str) else None
    return ModelFile(_with_writer(config, writer, limits), weights, writer)


def _member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """A file of the archive; never more bytes than stated, whatever its header says."""
    try:
        with archive.open(name) as member:
            found = member.read(max_bytes + 1)
    except KeyError as error:
        raise ModelError(f"the .keras archive has no {name}") from error
    if len(found) > max_bytes:
        raise ModelTooLargeError(f"{name} of the .keras archive has more than {max_bytes:,} bytes")
    return found


def _with_writer(
    config: bytes, writer: str | None, limits: Limits, backend: str | None = None, trained: str | None = None
) -> bytes:
    """The architecture with the writer's version, backend and loss in it, which these files keep elsewhere."""
    entry: dict[str, Json] = dict(document.parse(config, limits))
    if trained is not None and (loss := _loss(trained, limits)):
        entry.setdefault("compile_config", loss)
    if writer is not None:
        entry.setdefault("keras_version", writer)
    if backend is not None:
        entry.setdefault("backend", backend)
    return json.dumps(entry).encode()


def _loss(trained: str, limits: Limits) -> dict[str, Json]:
    """What a training's configuration says of its loss; nothing where it can't be read, as serving can do without."""
    try:
        return losses.of_training(document.parse(trained.encode(), limits))
    except ModelError:
        return {}
