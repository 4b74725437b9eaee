"""Models that are absurd, circular or refused by Keras, and weights that don't fit, are named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from classifier.errors import ModelError, ModelTooLargeError
from classifier.keras_json.architecture import read_architecture
from classifier.keras_json.limits import Limits
from classifier.keras_weights.loading import load_model
from tests.support.keras_models import dense, document, layer, saved, sequential

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tensorflow


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
        read_architecture(bundle, Limits(max_parameters=10**6)).build()


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
        load_model(read_architecture(sequential(dense("d"), dense("e"))), saved(small, tmp_path))
    with pytest.raises(ModelError, match="not in the file: e"):
        load_model(read_architecture(sequential(dense("d"), dense("e"))), saved(small, tmp_path, "m.h5"))


def test_shapes_that_differ_name_layer_and_both_shapes(tmp_path: Path) -> None:
    import keras

    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])

    for name in ("m.weights.h5", "m.h5"):
        with pytest.raises(ModelError, match=r"'kernel' of layer 'd' has shape \(4, 2\), .* has \(4, 3\)"):
            load_model(read_architecture(sequential(dense("d"))), saved(other, tmp_path, name))


def test_weights_of_another_model_are_told_by_both_counts(tmp_path: Path) -> None:
    import keras

    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])
    larger = read_architecture(sequential(dense("d", units=4_000)))

    with pytest.raises(ModelError, match="the file has 15 numbers, the architecture asks for 10"):
        load_model(read_architecture(sequential(dense("d"))), saved(other, tmp_path))
    with pytest.raises(ModelError, match="the file has 15 numbers, the architecture asks for more"):
        load_model(larger, saved(other, tmp_path))


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, poison: float) -> None:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="d")])
    model.layers[0].bias.assign([0.0, poison])

    with pytest.raises(ModelError, match=r"layer 'd' holds NaN or infinity"):
        load_model(read_architecture(sequential(dense("d"))), saved(model, tmp_path))
