"""Genuine models of every Keras since 2.0.6 give their writer's own answers; weights that don't fit are named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from classifier import keras_weights
from classifier.errors import ModelError, ModelTooLargeError
from classifier.keras_json import read_architecture
from classifier.keras_json.layers import LAYERS, OURS
from classifier.keras_json.model_files import read_model_file
from classifier.keras_json.values import ACTIVATIONS
from tests.keras_models import FIXTURES, FOLDERS, dense, document, keras_2, layer, sequential

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.tensorflow

WEIGHTS = [(folder, file.name) for folder in FOLDERS for file in sorted((FIXTURES / folder).glob("weights*.h5"))]
WHOLE = [(path.parent, path.name) for path in sorted(FIXTURES.glob("*/*/full.*"))]


def difference(model: Any, folder: Path) -> float:
    """The largest difference between the model's answer and its writer's."""
    import numpy as np

    answer = np.asarray(model(np.load(folder / "inputs.npy"), training=False))
    written = np.load(folder / "outputs.npy")
    assert answer.shape == written.shape
    return float(np.abs(answer - written).max())


def saved(model: Any, tmp_path: Path, name: str = "m.weights.h5") -> bytes:
    """The model's weights as current Keras saves them."""
    path = tmp_path / name
    model.save_weights(path) if "weights" in name else model.save(path)
    return path.read_bytes()


@pytest.mark.parametrize(("folder", "name"), WEIGHTS)
def test_a_genuine_pair_answers_as_its_writer_did(folder: str, name: str) -> None:
    architecture = read_architecture((FIXTURES / folder / "architecture.json").read_bytes())

    model = keras_weights.load_model(architecture, (FIXTURES / folder / name).read_bytes())

    assert difference(model, FIXTURES / folder) < 1e-5
    assert model.output_shape[-1] == architecture.units or architecture.units is None
    assert not model.compiled


@pytest.mark.parametrize(("folder", "name"), WHOLE, ids=str)
def test_a_genuine_whole_model_file_answers_as_its_writer_did(folder: Path, name: str) -> None:
    file = read_model_file((folder / name).read_bytes())

    model = keras_weights.load_model(read_architecture(file.architecture), file.weights)

    assert file.writer
    assert difference(model, folder) < 1e-5


def test_weights_can_be_given_as_a_path() -> None:
    folder = FIXTURES / "tfkeras-1.15/nested"
    architecture = read_architecture((folder / "architecture.json").read_bytes())

    assert difference(keras_weights.load_model(architecture, folder / "weights.h5"), folder) < 1e-5


def test_nothing_of_a_bundle_reaches_keras_deserializer(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("deserialized")

    for module, name in ((keras.saving, "deserialize_keras_object"), (keras.models, "model_from_json")):
        monkeypatch.setattr(module, name, refuse)
    folder = FIXTURES / "keras-3.15.1_tf-2.21/misc"
    architecture = read_architecture((folder / "architecture.json").read_bytes())

    assert difference(keras_weights.load_model(architecture, (folder / "weights.h5").read_bytes()), folder) < 1e-5


def test_layers_renamed_between_sessions_are_paired_by_position() -> None:
    folder = FIXTURES / "tfkeras-2.4/misc"
    text = (folder / "architecture.json").read_text().replace('"dense', '"dense_of_monday').replace('"conv2d', '"c')
    text = text.replace('"class_name": "c', '"class_name": "conv2d')

    model = keras_weights.load_model(read_architecture(text.encode()), (folder / "weights.h5").read_bytes())

    assert difference(model, folder) < 1e-5


@pytest.mark.parametrize("writer", ["keras-2.0.6_tf-1.4.1", "tfkeras-2.15"])
def test_freezing_after_saving_changes_nothing(writer: str) -> None:
    folder = FIXTURES / writer / "nested"
    text = (folder / "architecture.json").read_text().replace('"trainable": true', '"trainable": false')

    model = keras_weights.load_model(read_architecture(text.encode()), (folder / "weights.h5").read_bytes())

    assert difference(model, folder) < 1e-5


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

    first = keras_weights.load_model(architecture, saved(last, tmp_path))

    x = np.random.default_rng(0).random((2, 33, 31, 3), np.float32)
    assert architecture.channels_first
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


@pytest.mark.parametrize(
    ("bundle", "error"),
    [
        (sequential(*[dense(f"d{number}", units=2**14) for number in range(4)]), "asks for more than"),
        (sequential(layer("UpSampling2D", size=[2000, 2000]), shape=(8, 8, 3)), "numbers a picture"),
        (sequential(layer("RepeatVector", n=2**24), shape=(8,)), "numbers a picture"),
        (sequential(layer("ZeroPadding2D", padding=2**20), shape=(8, 8, 3)), "numbers a picture"),
    ],
    ids=["parameters", "upsampling", "repeating", "padding"],
)
def test_an_absurd_model_is_refused_before_its_memory_is_asked_for(bundle: bytes, error: str) -> None:
    with pytest.raises(ModelTooLargeError, match=error):
        read_architecture(bundle).build(max_parameters=10**6)


@pytest.mark.parametrize(
    "bundle",
    [
        sequential(dense("d", units=-1)),
        sequential(dense("d", units="two")),
        sequential(layer("Conv2D", "c", filters=2, kernel_size=[9, 9]), shape=(4, 4, 3)),
        sequential(layer("Reshape", "r", target_shape=[5])),
        sequential(layer("Concatenate", "c")),
    ],
)
def test_options_that_keras_refuses_are_an_error_that_names_the_layer(bundle: bytes) -> None:
    with pytest.raises(ModelError, match=r"layer '[dcr]' \(\w+\)"):
        read_architecture(bundle).build()


def test_layers_that_call_each_other_in_a_circle_are_refused() -> None:
    model = document("keras-2.0.6_tf-1.4.1/branches")
    model["config"]["layers"][1]["inbound_nodes"] = [[["add_1", 0, 0, {}]]]

    with pytest.raises(ModelError, match="circle"):
        read_architecture(json.dumps(model).encode()).build()


def test_a_weights_file_without_a_layer_names_it(tmp_path: Path) -> None:
    import keras

    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="d")])

    with pytest.raises(ModelError, match=r"2 dense layers \(d, e\), the file 1"):
        keras_weights.load_model(read_architecture(sequential(dense("d"), dense("e"))), saved(small, tmp_path))
    with pytest.raises(ModelError, match="not in the file: e"):
        keras_weights.load_model(read_architecture(sequential(dense("d"), dense("e"))), saved(small, tmp_path, "m.h5"))


def test_shapes_that_differ_name_layer_and_both_shapes(tmp_path: Path) -> None:
    import keras

    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])

    for name in ("m.weights.h5", "m.h5"):
        with pytest.raises(ModelError, match=r"'kernel' of layer 'd' has shape \(4, 2\), .* has \(4, 3\)"):
            keras_weights.load_model(read_architecture(sequential(dense("d"))), saved(other, tmp_path, name))


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, poison: float) -> None:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="d")])
    model.layers[0].bias.assign([0.0, poison])

    with pytest.raises(ModelError, match=r"layer 'd' holds NaN or infinity"):
        keras_weights.load_model(read_architecture(sequential(dense("d"))), saved(model, tmp_path))


def test_half_precision_weights_are_widened(tmp_path: Path) -> None:
    import h5py
    import numpy as np

    path = tmp_path / "half.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.ones((4, 2), np.float16)
        file["layers/dense/vars/1"] = np.ones(2, np.float64)

    model = keras_weights.load_model(read_architecture(sequential(dense("d"))), path)

    assert np.asarray(model(np.ones((1, 4), np.float32))).tolist() == [[5.0, 5.0]]
