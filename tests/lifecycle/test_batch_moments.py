"""What BatchNormalization layers keep of the training's pictures tells pipelines apart, whatever the scores say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from classifier.engines.keras_engine import traced
from lifecycle.batch_moments import LEAST, BatchMoments, batch_moments
from lifecycle.evidence import DOUBT
from lifecycle.labelled import model_input
from tests.lifecycle.test_evidence import PICTURES, SIZE, pipeline, textured

if TYPE_CHECKING:
    from classifier.engines.keras_engine import TracedModel

TRIED = [
    *("image_dataset_from_directory", "load_img, ImageDataGenerator", "load_img, bilinear"),
    *("tf.image, area", "load_img, lanczos"),
]
TRAINING = PICTURES
HELD = [(textured(kind, np.random.default_rng(1000 * kind + k)), kind) for kind in range(3) for k in range(20)]
CLASSES = np.array([label for _, label in HELD])
ONE = np.zeros((1, *SIZE, 3), np.float32)


def pictures(pixels: str, of: Any) -> list[np.ndarray[Any, Any]]:
    preprocessing = pipeline(pixels, "0 to 255")
    return [np.asarray(model_input(data, preprocessing), np.float32) for data, _ in of]


def model() -> Any:
    """A CNN whose layers normalise by what Keras itself computes of what it is shown."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    inner = keras.Sequential([layers.Conv2D(12, 3, 2, use_bias=False), layers.BatchNormalization(momentum=0.85)])
    return keras.Sequential(
        [
            *(keras.Input((*SIZE, 3)), layers.Rescaling(1 / 255), inner, layers.ReLU()),
            *(layers.Conv2D(16, 3, 2), layers.BatchNormalization(momentum=0.85), layers.GlobalAveragePooling2D()),
            layers.Dense(3, activation="softmax"),
        ]
    )


def moments(network: Any) -> BatchMoments | None:
    shape = (1, *SIZE, 3)
    _, module = traced(network, shape, shape, (0,))
    return batch_moments(cast("TracedModel", SimpleNamespace(module=module)))


@pytest.mark.parametrize("pixels", ["image_dataset_from_directory", "tf.image, area"])
def test_the_pixels_of_the_training_are_the_nearest(pixels: str) -> None:
    network, shown = model(), np.concatenate(pictures(pixels, TRAINING))
    shown, chance = np.concatenate([shown, shown[:, :, ::-1]]), np.random.default_rng(0)
    for _ in range(100):
        network(shown[chance.choice(len(shown), 32, replace=False)], training=True)
    kept = moments(network)
    assert kept is not None
    behind = kept.behind([np.array([kept.look(each) for each in pictures(name, HELD)]) for name in TRIED], CLASSES)
    ranked = dict(sorted(zip(TRIED, behind.tolist(), strict=True), key=lambda pair: pair[1]))
    assert ranked[pixels] < 1, ranked
    assert ranked["load_img, ImageDataGenerator"] > DOUBT, ranked
    few = [np.array([kept.look(ONE)] * (LEAST - 1))] * 2
    assert kept.behind(few, CLASSES[: LEAST - 1]).tolist() == [0, 0]


def test_a_layer_sees_what_keras_gives_it_and_is_left_as_it_was() -> None:
    import keras

    network = model()
    network(np.concatenate(pictures("tf.image, area", TRAINING)), training=True)
    kept = moments(network)
    assert kept is not None
    picture = pictures("tf.image, area", HELD)[0]
    seen = kept.look(picture)
    assert seen.shape == (2, 12 + 16)
    inner = network.layers[1]
    both = np.concatenate([picture, picture[:, :, ::-1]])
    planes = np.asarray(keras.Sequential([network.layers[0], inner.layers[0]])(both))
    np.testing.assert_allclose(seen[0, :12], planes.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(seen[1, :12], (planes**2).mean((0, 1, 2)), atol=1e-5)
    assert "call" not in vars(inner.layers[1])


def test_a_model_without_such_layers_or_with_untrained_ones_keeps_nothing() -> None:
    import keras
    from keras import layers

    assert moments(model()) is None
    plain = [layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.BatchNormalization(), layers.Dense(3)]
    network = keras.Sequential([keras.Input((*SIZE, 3)), *plain])
    assert moments(network) is None
