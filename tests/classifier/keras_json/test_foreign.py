"""Layers that are not Keras's own but that many models have: known by their source, refused where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from classifier.errors import ModelNotAllowedError
from classifier.keras_json.architecture import read_architecture
from classifier.keras_json.foreign import FOREIGN
from classifier.keras_weights.loading import load_model
from tests.support.keras_models import keras_2

if TYPE_CHECKING:
    from pathlib import Path

DENSE = {"name": "d", "units": 2, "batch_input_shape": [None, 4]}


def with_layer(class_name: str, **config: Any) -> bytes:
    """A Keras 2 model that ends in a layer of somebody's own."""
    own = {"class_name": class_name, "config": {"name": "own", "trainable": True, "dtype": "float32", **config}}
    return keras_2({"class_name": "Dense", "config": DENSE}, own)


@pytest.mark.parametrize(
    ("name", "config", "kind"),
    [
        ("FixedDropout", {"rate": 0.2, "noise_shape": [None, 1, 1, 1], "seed": None}, "Identity"),
        ("Custom>FixedDropout", {"rate": 0.2}, "Identity"),
        ("DropConnect", {"drop_connect_rate": 0.1}, "Identity"),
        ("Swish", {}, "Activation"),
        ("efficientnet>Swish", {"beta": 1.0}, "Activation"),
    ],
)
def test_a_known_one_is_built_as_its_source_says(name: str, config: dict[str, Any], kind: str) -> None:
    assert read_architecture(with_layer(name, **config)).graph.layers[-1].kind == kind


@pytest.mark.parametrize(("name", "config"), [("Swish", {"beta": 1.5}), ("DropConnect", {"units": 3}), ("Mish", {})])
def test_another_of_that_name_is_refused(name: str, config: dict[str, Any]) -> None:
    with pytest.raises(ModelNotAllowedError, match=name):
        read_architecture(with_layer(name, **config))


def test_every_one_names_its_source() -> None:
    assert all(known.source.startswith("github.com/") for known in FOREIGN.values())


def test_a_layer_of_tensorflow_hub_is_refused_with_the_way_on() -> None:
    own = {"class_name": "KerasLayer", "module": "tensorflow_hub.keras_layer", "config": {"name": "own", "handle": "x"}}
    with pytest.raises(ModelNotAllowedError, match=r"SavedModel that this file only names; publish model\.export"):
        read_architecture(keras_2({"class_name": "Dense", "config": DENSE}, own))


@pytest.mark.tensorflow
def test_one_with_weights_is_another_of_that_name(tmp_path: Path) -> None:
    import h5py
    import numpy as np

    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"d", b"own"]
        shapes: dict[str, dict[str, tuple[int, ...]]] = {
            "d": {"kernel:0": (4, 2), "bias:0": (2,)},
            "own": {"beta:0": (1,)},
        }
        for layer, arrays in shapes.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in arrays]
            for name, shape in arrays.items():
                group[name] = np.ones(shape, np.float32)

    with pytest.raises(ModelNotAllowedError, match="'own'"):
        load_model(read_architecture(with_layer("Swish")), tmp_path / "w.h5")
