"""`training=True` in a recorded call: Keras 2 keeps it at prediction, Keras 3 does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from classifier.errors import ModelError
from classifier.keras_json.architecture import read_architecture
from classifier.keras_json.layers import INERT

PICTURE = [None, 8, 8, 3]


def called(class_name: str, training: Any, version: str = "2.15.0", **config: Any) -> bytes:
    """A Keras 2 model of one layer, called with `training`."""
    first = {"class_name": "InputLayer", "name": "in", "config": {"name": "in", "batch_input_shape": PICTURE}}
    second = {
        "class_name": class_name,
        "name": "it",
        "config": {"name": "it", **config},
        "inbound_nodes": [[["in", 0, 0, {"training": training}]]],
    }
    model = {"name": "m", "layers": [first, second], "input_layers": [["in", 0, 0]], "output_layers": [["it", 0, 0]]}
    return json.dumps({"class_name": "Functional", "config": model, "keras_version": version}).encode()


@pytest.mark.parametrize("training", [True, 1])
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Dropout", {"rate": 0.5}),
        ("SpatialDropout2D", {"rate": 0.1}),
        ("GaussianNoise", {"stddev": 1.0}),
        ("FixedDropout", {"rate": 0.2}),
        ("RandomCrop", {"height": 4, "width": 4}),
        *((kind, {}) for kind in sorted(INERT)),
    ],
)
def test_what_would_be_random_is_refused_by_name(kind: str, config: dict[str, Any], training: object) -> None:
    with pytest.raises(ModelError, match=rf"layer 'it' \({kind}\).*training=True.*{kind}.*from request to request"):
        read_architecture(called(kind, training, **config))


@pytest.mark.parametrize(
    ("kind", "config"),
    [("Dropout", {"rate": 0.0}), ("Conv2D", {"filters": 2, "kernel_size": 1}), ("BatchNormalization", {"axis": 3})],
)
def test_what_training_does_not_change_or_can_be_honoured_is_read(kind: str, config: dict[str, Any]) -> None:
    layer = read_architecture(called(kind, True, **config)).graph.layers[-1]

    assert all("training" not in call.kwargs for call in layer.calls)


@pytest.mark.parametrize("training", [False, 0, None])
def test_without_training_a_layer_is_what_it_always_was(training: object) -> None:
    graphs = [read_architecture(called("BatchNormalization", mode, axis=3)).graph for mode in (training, None)]

    assert graphs[0] == graphs[1]
    assert graphs[0].layers[-1].kind == "BatchNormalization"


@pytest.mark.parametrize(
    ("version", "kind"), [("2.4.0", "BatchNormalization"), ("2.3.0-tf", "BatchNormalization"), ("3.5.0", None)]
)
def test_a_frozen_normalization_keeps_its_averages_since_tensorflow_2(version: str, kind: str | None) -> None:
    layer = read_architecture(called("BatchNormalization", True, version, trainable=False, axis=3)).graph.layers[-1]

    assert layer.kind == kind or kind is None


@pytest.mark.parametrize("version", ["2.2.4", "2.2.4-tf", "2.3.1"])
def test_a_frozen_normalization_of_before_is_refused(version: str) -> None:
    with pytest.raises(ModelError, match=r"frozen.*different things"):
        read_architecture(called("BatchNormalization", True, version, trainable=False, axis=3))


def test_keras_3_leaves_the_argument_to_predict() -> None:
    layer = read_architecture(called("Dropout", True, "3.5.0", rate=0.5)).graph.layers[-1]

    assert layer.kind == "Dropout"
    assert layer.calls[0].kwargs == {}


def test_a_mode_that_is_a_tensor_is_refused() -> None:
    with pytest.raises(ModelError, match="expected true or false"):
        read_architecture(called("BatchNormalization", ["in", 0, 0], axis=3))


def nested(*modes: bool) -> bytes:
    """A model with a Dropout in it, called once for each of `modes`."""
    inner = json.loads(called("Dropout", None, rate=0.5))["config"] | {"name": "inner"}
    first = {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_input_shape": PICTURE}}
    calls = [[["x", 0, 0, {"training": mode}]] for mode in modes]
    second = {"class_name": "Functional", "name": "inner", "config": inner, "inbound_nodes": calls}
    outputs = [["inner", number, 0] for number, _ in enumerate(modes, 1)]
    model = {"name": "m", "layers": [first, second], "input_layers": [["x", 0, 0]], "output_layers": outputs}
    return json.dumps({"class_name": "Functional", "config": model, "keras_version": "2.11.0"}).encode()


def test_a_nested_model_hands_the_mode_on() -> None:
    with pytest.raises(ModelError, match=r"layer 'it' \(Dropout\).*training=True"):
        read_architecture(nested(True))
    assert len(read_architecture(nested(False)).outputs) == 1
