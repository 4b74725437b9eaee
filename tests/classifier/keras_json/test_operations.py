"""Operations of Keras 3 in every container: HDF5 files name them by class alone, and Keras can't read its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from classifier.keras_json.architecture import read_architecture
from classifier.keras_weights.loading import load_model
from lifecycle.model_files import read_model_file

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tensorflow


def model_of_operations() -> Any:
    """Operations beside layers of the same names, nested too."""
    import keras
    from keras import layers, ops

    inner = keras.Input((8, 8, 3))
    doubled = layers.Concatenate()([ops.concatenate([inner * 2.0, layers.Add()([inner, inner])], axis=-1), inner])
    nested = keras.Model(inner, doubled, name="nested")
    picture = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(nested(keras.applications.mobilenet_v2.preprocess_input(picture)))
    x = layers.Multiply()([ops.relu(x) + ops.add(x, x), x])
    x = ops.mean(x, axis=(1, 2))
    rows = [ops.softmax(layers.Dense(3)(x)), layers.Softmax()(layers.Dense(3)(x))]
    x = layers.Maximum()([ops.maximum(*rows), layers.Average()(rows), ops.average(ops.stack(rows), axis=0)])
    x = layers.Reshape((3,))(ops.reshape(x, (-1, 3)))
    return keras.Model(picture, layers.Subtract()([ops.subtract(x, 0.25)[:, ::-1], ops.minimum(*rows)]))


@pytest.mark.parametrize("container", ["m.keras", "m.h5", "json"])
def test_operations_are_told_from_layers_of_the_same_name(tmp_path: Path, container: str) -> None:
    model = model_of_operations()
    if container == "json":
        architecture, weights = model.to_json().encode(), tmp_path / "m.weights.h5"
        model.save_weights(weights)
        loaded = load_model(read_architecture(architecture), weights)
    else:
        model.save(tmp_path / container)
        file = read_model_file((tmp_path / container).read_bytes())
        loaded = load_model(read_architecture(file.architecture), file.weights)
    x = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)

    np.testing.assert_allclose(np.asarray(loaded(x)), np.asarray(model(x)), atol=1e-6)


def test_a_picture_is_standardized_as_by_tensorflow() -> None:
    import tensorflow as tf

    from classifier.keras_json.own_layers import per_image_standardization

    flat = np.full((1, 4, 5, 3), 7, np.float32)
    x = np.concatenate([np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype(np.float32), flat])

    np.testing.assert_allclose(per_image_standardization(x), tf.image.per_image_standardization(x), atol=1e-5)
