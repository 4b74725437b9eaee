"""Layers, options and activations that are allowed exist in current Keras, and compute what their writers meant."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from classifier.keras_json.architecture import read_architecture
from classifier.keras_json.channels import is_channels_first
from classifier.keras_json.layers import LAYERS, OURS
from classifier.keras_json.values import ACTIVATIONS
from classifier.keras_weights.loading import load_model
from tests.support.keras_models import dense, keras_2, saved, sequential

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.tensorflow


def test_every_allowed_layer_and_option_is_one_of_current_keras() -> None:
    import inspect

    import keras

    base = {"name", "dtype", "trainable", "activity_regularizer"}
    for kind, options in LAYERS.items():
        if kind in OURS:
            continue
        classes = getattr(keras.layers, kind).__mro__
        taken = {name for cls in classes for name in inspect.signature(cls.__init__).parameters}
        missing = options - base - taken
        assert not missing, f"{kind} does not take {missing}"


def test_every_allowed_activation_is_one_of_current_keras() -> None:
    import keras

    for name in set(ACTIVATIONS.values()) - {"keras2_hard_sigmoid"}:
        assert callable(getattr(keras.activations, name))


def test_hard_sigmoid_of_keras_2_is_its_own_function() -> None:
    import numpy as np

    config = {"name": "a", "activation": "hard_sigmoid", "batch_input_shape": [None, 5]}
    built = read_architecture(keras_2({"class_name": "Activation", "config": config})).build()

    x = np.array([[-3, -1, 0, 1, 3]], np.float32)
    assert np.asarray(built.model(x)) == pytest.approx(np.clip(0.2 * x + 0.5, 0, 1))


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.3.1", [0, 0.5, 1, 1]), ("2.2.4-tf", [0, 0.25, 0.75, 1]), ("2.15.0", [0, 0.25, 0.75, 1])],
)
def test_bilinear_upsampling_is_the_writers(version: str, expected: list[float]) -> None:
    import numpy as np

    config = {"name": "u", "size": [1, 2], "interpolation": "bilinear", "batch_input_shape": [None, 1, 2, 1]}
    built = read_architecture(keras_2({"class_name": "UpSampling2D", "config": config}, version=version)).build()

    assert np.asarray(built.model(np.array([[[[0], [1]]]], np.float32))).ravel().tolist() == expected


def test_channels_first_equals_channels_last(tmp_path: Path) -> None:
    import keras
    import numpy as np

    kinds: list[Callable[[], Any]] = [
        lambda: keras.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu"),
        lambda: keras.layers.BatchNormalization(),
        lambda: keras.layers.DepthwiseConv2D(3),
        lambda: keras.layers.SeparableConv2D(4, 2),
        lambda: keras.layers.MaxPooling2D(2),
        lambda: keras.layers.ZeroPadding2D(1),
        lambda: keras.layers.Conv2DTranspose(3, 3),
        lambda: keras.layers.AveragePooling2D(2),
        lambda: keras.layers.UpSampling2D(2),
        lambda: keras.layers.Flatten(),
        lambda: keras.layers.Dense(3, activation="softmax"),
    ]
    last = keras.Sequential([keras.Input((33, 31, 3)), *(make() for make in kinds)])
    document = json.loads(last.to_json())
    for entry in document["config"]["layers"]:
        config = entry["config"]
        if "data_format" in config:
            config["data_format"] = "channels_first"
        if entry["class_name"] == "BatchNormalization":
            config["axis"] = 1
        if entry["class_name"] == "InputLayer":
            config["batch_shape"] = [None, 3, 33, 31]
    architecture = read_architecture(json.dumps(document).encode())

    first = load_model(architecture, saved(last, tmp_path))

    x = np.random.default_rng(0).random((2, 33, 31, 3), np.float32)
    assert is_channels_first(architecture.graph)
    assert np.asarray(first(x.transpose(0, 3, 1, 2))) == pytest.approx(np.asarray(last(x)), abs=1e-6)


def test_nodes_of_tensorflow_graphs_become_operations() -> None:
    import numpy as np

    def node(name: str, op: str, source: str, constants: dict[str, Any], **attr: Any) -> dict[str, Any]:
        config = {"name": name, "node_def": {"name": name, "op": op, "attr": attr}, "constants": constants}
        return {
            "class_name": "TensorFlowOpLayer",
            "config": config,
            "name": name,
            "inbound_nodes": [[[source, 0, 0, {}]]],
        }

    keep = {"keep_dims": {"b": False}}
    masks = {"begin_mask": {"i": "3"}, "end_mask": {"i": "1"}, "shrink_axis_mask": {"i": "4"}}
    config = {"name": "in", "batch_input_shape": [None, 4, 4, 3]}
    layers = [
        {"class_name": "InputLayer", "config": config, "name": "in", "inbound_nodes": []},
        node("scaled", "RealDiv", "in", {"1": 127.5}),
        node("moved", "Sub", "scaled", {"1": [1.0, 0.5, 0.0]}),
        node("clipped", "Relu6", "moved", {}),
        node("cut", "StridedSlice", "clipped", {"1": [0, 0, 1], "2": [0, 2, 2], "3": [1, 1, 1]}, **masks),
        node("mean", "Mean", "cut", {"1": [1]}, **keep),
    ]
    model = {"name": "m", "layers": layers, "input_layers": [["in", 0, 0]], "output_layers": [["mean", 0, 0]]}
    bundle = json.dumps({"class_name": "Model", "config": model, "keras_version": "2.3.0-tf"}).encode()
    x = np.random.default_rng(0).random((2, 4, 4, 3), np.float32) * 255

    answer = np.asarray(read_architecture(bundle).build().model(x))

    expected = np.clip(x / 127.5 - np.array([1.0, 0.5, 0.0], np.float32), 0, 6)[:, :2, 1].mean(1)
    assert answer == pytest.approx(expected, abs=1e-6)


def test_names_that_keras_refuses_are_changed() -> None:
    model = read_architecture(sequential(dense("block/1"), dense("block_1"), dense("día 2"), dense("_x"))).build().model

    assert len({item.name for item in model.layers}) == 5
