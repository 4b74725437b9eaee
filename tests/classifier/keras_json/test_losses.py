"""What a loss takes, as each Keras writes it."""

from __future__ import annotations

from typing import Any

import pytest

from classifier.keras_json.losses import of_training, taken


def of_class(name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.losses", "class_name": name, "config": config, "registered_name": None}


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("categorical_crossentropy", "softmax"),
        ("sparse_categorical_crossentropy", "softmax"),
        (of_class("SparseCategoricalCrossentropy", from_logits=True), "logits"),
        (of_class("CategoricalCrossentropy", from_logits=False), "softmax"),
        (of_class("BinaryCrossentropy", from_logits=True), "sigmoid_logits"),
        (of_class("BinaryFocalCrossentropy"), "sigmoid"),
        ("binary_crossentropy", "sigmoid"),
        ({"class_name": "function", "config": "mse"}, "regression"),
        (of_class("MeanAbsoluteError"), "regression"),
        (of_class("KLDivergence"), "softmax"),
        ("hinge", "margins"),
        ({"class_name": "function", "config": "my_own"}, None),
        ({"class_name": "Custom>MeanSquaredError", "config": {}}, "regression"),
        (7, None),
        (None, None),
    ],
)
def test_a_loss_says_what_it_takes(loss: Any, expected: str | None) -> None:
    assert taken({"loss": loss}, ["scores"]) == (expected,)
    assert taken({"loss": [loss]}, ["scores"]) == (expected,)
    assert taken({"loss": {"scores": loss}}, ["scores"]) == (expected,)


def test_of_several_outputs_each_has_its_own() -> None:
    assert taken({"loss": ["mse", "hinge"]}, ["a", "b"]) == ("regression", "margins")
    assert taken({"loss": {"b": "mse"}}, ["a", "b"]) == (None, "regression")
    assert taken({"loss": "mse"}, ["a", "b"]) == ("regression", "regression")
    assert taken("nonsense", ["a"]) == (None,)


@pytest.mark.parametrize("wrapped", [True, False])
def test_hdf5_files_keep_it_apart(wrapped: bool) -> None:
    config: dict[str, Any] = {"loss": "mse", "optimizer_config": {}}
    assert of_training({"class_name": "x", "config": config} if wrapped else config) == {"loss": "mse"}
