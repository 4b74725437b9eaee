"""Layers whose arithmetic depends on which Keras wrote them: as what each is built today, or why it can't be.

Only the version tells the eras apart. Keras 3's JSON does not name one, but what it writes of other layers may do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from classifier.errors import ModelError, ModelNotAllowedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.documents import Json
    from classifier.keras_json.graph import Value

type Built = tuple[str, Mapping[str, Value]]

_MARKED: Final = (3, 9)
"""Since this version InputLayer writes `ragged` (layers/core/input_layer.py, get_config)."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who wrote a document. `version` as it says, "3" for Keras 3's own JSON, which names none.

    `release` is the major and minor version; of Keras 3's own JSON the oldest that its marks leave open, else None.
    """

    version: str
    keras_2: bool
    release: tuple[int, int] | None
    backend: str


def writer_of(entry: Mapping[str, Json]) -> Writer:
    """Who wrote this; ModelError unless it is some Keras 2 or 3. tf.keras counts as the Keras that it says it is."""
    backend = entry.get("backend")
    backend = backend if isinstance(backend, str) else "tensorflow"
    version = entry.get("keras_version")
    if version is None and "module" in entry:
        return Writer("3", keras_2=False, release=_MARKED if _marked(entry) else None, backend=backend)
    if version is None:
        return Writer("2 (unnamed)", keras_2=True, release=None, backend=backend)
    found = re.match(r"(\d+)\.(\d+)?", version) if isinstance(version, str) else None
    if found is None or found[1] not in ("2", "3"):
        raise ModelError(f"keras_version {str(version)[:40]!r}: models of Keras 2 and 3 can be loaded")
    release = (int(found[1]), int(found[2])) if found[2] else None
    return Writer(str(version), keras_2=found[1] == "2", release=release, backend=backend)


def _marked(value: Json | Mapping[str, Json]) -> bool:
    """Whether some InputLayer of Keras 3 is there that says whether it is ragged."""
    if isinstance(value, list):
        return any(_marked(child) for child in value)
    if not isinstance(value, dict):
        return False
    config = value.get("config")
    if value.get("class_name") == "InputLayer" and "module" in value and isinstance(config, dict):
        return "ragged" in config
    return any(_marked(child) for child in value.values())


def as_written(kind: str, options: Mapping[str, Value], writer: Writer, place: str) -> Built:
    """What to build for a layer as its writer computed it outside of training; ModelNotAllowedError if that is open."""
    if kind == "RandomCrop":
        return _random_crop(options, writer.release, place)
    # Keras 2.2.3 to 2.3.1 on TensorFlow 1; tf.keras of the time ("2.2.4-tf") had today's arithmetic.
    bilinear = kind == "UpSampling2D" and options.get("interpolation") == "bilinear"
    if bilinear and writer.keras_2 and re.fullmatch(r"2\.[0-3]\.\d+", writer.version):
        return "TensorFlow1UpSampling2D", options
    return kind, options


def _random_crop(options: Mapping[str, Value], release: tuple[int, int] | None, place: str) -> Built:
    """RandomCrop outside of training (layers/preprocessing/image_preprocessing.py of 2.x, .../random_crop.py of 3.x).

    Until 2.6 it scaled the picture and cut the middle; from 2.7 to 3.5 it cut the largest window of the wanted
    proportions and scaled that; 3.6 and 3.7 did neither quite; since 3.8 it does nothing.
    """
    if release is None:
        raise ModelNotAllowedError(
            f"{place}: what RandomCrop does outside of training differs between versions of Keras 3, and this JSON "
            "does not tell which one wrote it; publish the .keras file, or leave the layer out"
        )
    if release >= (3, 8):
        return "Identity", {"dtype": options["dtype"]}
    if (2, 7) <= release < (3, 6):
        return "Resizing", {**options, "crop_to_aspect_ratio": True}
    if release < (2, 7):
        return "ScaledCenterCrop", options
    raise ModelNotAllowedError(
        f"{place}: RandomCrop of Keras 3.6 and 3.7 cuts a window off the middle outside of training, which no other "
        "version does; save the model with another version, or leave the layer out"
    )
