"""Reading architecture JSON of every Keras since 2.0.6: what is told of it, and what the differences become."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from classifier.errors import ModelError
from classifier.keras_json.architecture import read_architecture
from classifier.keras_json.channels import is_channels_first
from classifier.keras_json.history import DIFFERENCES
from classifier.keras_json.layers import LAYERS
from tests.support import keras_models
from tests.support.keras_models import FIXTURES, FOLDERS, keras_2, layer, sequential

if TYPE_CHECKING:
    from classifier.keras_json.graph import Layer

CONV = {"name": "c", "filters": 2, "kernel_size": [3, 3], "batch_input_shape": [None, 8, 8, 3]}
GRU = {"name": "g", "units": 2, "batch_input_shape": [None, 5, 3]}


def read_one(class_name: str, config: dict[str, Any], **kwargs: str) -> Layer:
    """The last layer of a Keras 2 model, translated."""
    return read_architecture(keras_2({"class_name": class_name, "config": config}, **kwargs)).graph.layers[-1]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_fixture_is_read(folder: str) -> None:
    architecture = read_architecture((FIXTURES / folder / "architecture.json").read_bytes())

    assert (len(architecture.input_shapes), len(architecture.outputs)) == (1, 1)
    assert not is_channels_first(architecture.graph)


@pytest.mark.parametrize(
    ("folder", "writer", "shape", "units"),
    [
        ("keras-2.0.6_tf-1.4.1/branches", "2.0.6", (8, 8, 4), 3),
        ("keras-2.0.6_tf-1.4.1/nested", "2.0.6", (16, 16, 3), 4),
        ("keras-2.3.1_tf-1.15/misc", "2.3.1", (12, 12, 3), 4),
        ("tfkeras-1.15/mobiletop", "2.2.4-tf", (32, 32, 3), 10),  # ends in a Reshape after the softmax
        ("tfkeras-2.15/nested", "2.15.0", (16, 16, 3), 4),
        ("keras-3.0.5_tf-2.16/nested", "3", (16, 16, 3), 4),  # was built with batches of 16
    ],
)
def test_what_is_known_before_keras_is_imported(folder: str, writer: str, shape: tuple[int, ...], units: int) -> None:
    found = read_architecture((FIXTURES / folder / "architecture.json").read_bytes())

    (output,) = found.outputs
    assert (found.writer, found.input_shapes, output.activation, output.units) == (writer, (shape,), "softmax", units)


def test_json_inside_a_json_string_is_unwrapped() -> None:
    plain = (FIXTURES / "tfkeras-2.15/misc/architecture.json").read_text()

    assert read_architecture(json.dumps(plain).encode()) == read_architecture(plain.encode())


def test_reading_imports_no_keras_and_no_numpy() -> None:
    path = FIXTURES / "keras-3.15.1_tf-2.21/misc/architecture.json"
    code = (
        "import sys; from classifier.keras_json.architecture import read_architecture;"
        f"read_architecture(open({str(path)!r}, 'rb').read());"
        "print([name for name in ('keras', 'numpy', 'tensorflow', 'h5py') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_keras_2_hard_sigmoid_is_not_todays() -> None:
    assert read_one("Conv2D", {**CONV, "activation": "hard_sigmoid"}).options["activation"] == "keras2_hard_sigmoid"
    gates = read_one("GRU", GRU)
    assert gates.options["recurrent_activation"] == "keras2_hard_sigmoid"  # the default of Keras 2


def test_keras_3_hard_sigmoid_is_todays() -> None:
    bundle = sequential(keras_models.dense("d", activation="hard_sigmoid"))

    assert read_architecture(bundle).graph.layers[1].options["activation"] == "hard_sigmoid"


def test_a_gru_without_reset_after_resets_before() -> None:
    assert read_one("GRU", GRU, version="2.0.6").options["reset_after"] is False


def test_leaky_relu_keeps_its_slope() -> None:
    shape = {"name": "r", "batch_input_shape": [None, 3]}

    assert read_one("LeakyReLU", {**shape, "alpha": 0.1}).options["negative_slope"] == 0.1
    assert read_one("LeakyReLU", shape).options["negative_slope"] == 0.3


def test_an_axis_in_a_list_is_unpacked() -> None:
    config = {"name": "b", "axis": [3], "batch_input_shape": [None, 4, 4, 3]}

    assert read_one("BatchNormalization", config).options["axis"] == 3


def test_thresholded_relu_becomes_a_relu_with_a_threshold() -> None:
    found = read_one("ThresholdedReLU", {"name": "t", "theta": 0.5, "batch_input_shape": [None, 3]})

    assert (found.kind, found.options["threshold"]) == ("ReLU", 0.5)


def test_augmentation_is_left_out() -> None:
    config = {"name": "f", "mode": "horizontal", "future_option": 1, "batch_input_shape": [None, 4, 4, 3]}

    assert read_one("RandomFlip", config).kind == "Identity"


@pytest.mark.parametrize(
    ("class_name", "config", "inert", "harmful"),
    [
        ("Conv2DTranspose", CONV, {"groups": 1}, {"groups": 2}),
        ("LSTM", GRU, {"time_major": False}, {"time_major": True}),
        ("InputLayer", {"name": "i", "batch_input_shape": [None, 3]}, {"input_tensor": None}, {"input_tensor": "x"}),
        ("Attention", {"name": "a", "batch_input_shape": [None, 5, 3]}, {"causal": False}, {"causal": True}),
        ("BatchNormalization", CONV | {"name": "b"}, {"virtual_batch_size": None}, {"virtual_batch_size": 4}),
        ("Embedding", {"name": "e", "input_dim": 9, "output_dim": 2}, {"sparse": False}, {"sparse": True}),
        ("LayerNormalization", {"name": "n"}, {"rms_scaling": False}, {"rms_scaling": True}),
        ("Dense", {"name": "d", "units": 2}, {"dynamic": False}, {"dynamic": True}),
    ],
)
def test_a_dropped_option_is_inert_or_an_error(
    class_name: str, config: dict[str, Any], inert: dict[str, Any], harmful: dict[str, Any]
) -> None:
    shape = {"batch_input_shape": [None, 8]}
    config = {key: value for key, value in config.items() if key in LAYERS[class_name] | {"name", "batch_input_shape"}}
    read_one(class_name, shape | config | inert)

    option = next(iter(harmful))
    with pytest.raises(ModelError, match=rf"'{config['name']}' \({class_name}\).*Keras 2\.3\.1.*{option}"):
        read_one(class_name, shape | config | harmful)


def test_an_unknown_option_names_layer_option_and_writer() -> None:
    with pytest.raises(ModelError, match=r"layer 'c' \(Conv2D\), written by Keras 2\.3\.1: option 'sparkle' = 3"):
        read_one("Conv2D", {**CONV, "sparkle": 3})


@pytest.mark.parametrize("version", ["1.2.2", "4.0.0", "soon", 3])
def test_an_unknown_version_is_named(version: Any) -> None:
    with pytest.raises(ModelError, match=f"keras_version .*{version}"):
        read_architecture(keras_2({"class_name": "Dense", "config": {}}, version=version))


def test_every_row_of_the_table_names_its_source_and_known_layers() -> None:
    for kinds, option, _, source in DIFFERENCES:
        assert source, option
        assert set(kinds) <= set(LAYERS) | {"*"}, option


def test_channels_first_is_told() -> None:
    bundle = sequential(layer("MaxPooling2D", "p", data_format="channels_first"), shape=(3, 8, 8))

    assert is_channels_first(read_architecture(bundle).graph)


@pytest.mark.parametrize(
    ("backend", "kind", "options", "error"),
    [
        ("theano", "Conv2D", {"padding": "same"}, ""),
        ("theano", "Conv2D", {"padding": "same", "strides": [2, 2]}, "padded otherwise"),
        ("cntk", "Conv2D", {"padding": "same", "kernel_size": [4, 3]}, "padded otherwise"),
        ("theano", "Conv2D", {"padding": "valid", "strides": [2, 2]}, ""),
        ("tensorflow", "Conv2D", {"padding": "same", "strides": [2, 2]}, ""),
        ("plaidml", "Conv2D", {"padding": "valid"}, "backend 'plaidml' is not known"),
    ],
)
def test_what_another_backend_computed_otherwise_is_refused(
    backend: str, kind: str, options: dict[str, Any], error: str
) -> None:
    bundle = json.loads(keras_2({"class_name": kind, "config": CONV | options}))
    data = json.dumps(bundle | {"backend": backend}).encode()
    if not error:
        assert read_architecture(data).backend == backend
        return
    with pytest.raises(ModelError, match=error):
        read_architecture(data)


def test_a_model_in_compiled_form_only_says_that_it_has_no_layers() -> None:
    with pytest.raises(ModelError, match="compiled form only, from a SavedModel") as refused:
        read_architecture(b'{"compiled_only": true, "source": "SavedModel"}')
    assert "compiled form only" in refused.value.public
