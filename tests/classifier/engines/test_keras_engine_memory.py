"""A model of few weights may put out layers without measure: that is found out before one is computed."""

from __future__ import annotations

import pytest

from classifier import function_memory
from classifier.bundles.bundle import Snapshot
from classifier.bundles.reader import Bundle
from classifier.engines.keras_engine import load
from classifier.errors import ModelTooLargeError
from classifier.model_memory import MB, TENSORFLOW, Room
from classifier.phases import Phases

pytestmark = pytest.mark.tensorflow
SIDE, FILTERS = 1024, 20


def test_a_layer_of_unusual_size_is_refused_before_it_is_computed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Conv2D(FILTERS, 1),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, "softmax"),
        ]
    )
    weights = tmp_path_factory.mktemp("wide") / "model.weights.h5"
    model.save_weights(weights)
    parts = {"architecture": model.to_json().encode(), "weights": weights.read_bytes()}
    bundle = Bundle(Snapshot((), 0.0), parts, "wide")  # type: ignore[arg-type]
    layer = SIDE * SIDE * FILTERS * 4
    assert load(bundle, Phases()).largest_layer == layer
    monkeypatch.setattr(function_memory, "resident", lambda: 0)
    needed = TENSORFLOW.peak_mb(0, layer) + 1
    assert needed > TENSORFLOW.base_mb + 40
    with pytest.raises(ModelTooLargeError, match=f"TensorFlow needs {needed} MB"):
        load(bundle, Phases(), Room(TENSORFLOW, (needed - 1) * MB))
