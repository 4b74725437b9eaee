"""Models whose last operation is not a softmax layer are served as Keras's `predict` means them, or asked about."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from classifier.engines.keras_engine import TracedModel, load, open_keras
from classifier.errors import ModelError
from classifier.phases import Phases
from lifecycle.release import as_bundle
from tests.support.keras_models import saved

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.tensorflow
PICTURE = np.random.default_rng(1).integers(0, 256, (1, 12, 12, 3)).astype(np.float32)


def dense(x: Any, units: int = 3, activation: str | None = "softmax") -> Any:
    """A small classifier on top of a picture."""
    from keras import layers

    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(x))
    return layers.Dense(units, activation=activation)(layers.GlobalAveragePooling2D()(x))


def member(units: int = 3, activation: str = "softmax") -> Any:
    import keras

    x = keras.Input((12, 12, 3))
    return keras.Model(x, dense(x, units, activation))


def flipped_too(x: Any) -> Any:
    from keras import layers, ops

    model = member()
    return layers.Average()([model(x), model(ops.flip(x, axis=2))])


def conv_squeezed(x: Any) -> Any:
    from keras import layers, ops

    x = layers.GlobalAveragePooling2D(keepdims=True)(layers.Rescaling(1 / 255)(x))
    return ops.squeeze(layers.Conv2D(3, 1, activation="softmax")(x), axis=(1, 2))


def steps(x: Any) -> Any:
    from keras import layers

    x = layers.Reshape((1, 3))(layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(x)))
    return layers.Flatten()(layers.TimeDistributed(layers.Dense(3, activation="softmax"))(x))


def endings() -> dict[str, Callable[[Any], Any]]:
    """Ways in which models end whose numbers are scores already."""
    from keras import layers, ops

    return {
        "ensemble": lambda x: layers.Average()([member()(x), member()(x)]),
        "weighted sum": lambda x: dense(x) * 0.7 + dense(x) * 0.3,
        "test-time augmentation": flipped_too,
        "linear in float32": lambda x: layers.Activation("linear", dtype="float32")(dense(x)),
        "cast": lambda x: ops.cast(dense(x), "float32"),
        "clip": lambda x: ops.clip(dense(x, activation="sigmoid"), 1e-7, 1 - 1e-7),
        "squeeze": conv_squeezed,
        "pooling of softmax": lambda x: layers.GlobalAveragePooling2D()(
            layers.Conv2D(3, 3, activation="softmax")(layers.Rescaling(1 / 255)(x))
        ),
        "time distributed": steps,
        "concatenated heads": lambda x: layers.Concatenate()([dense(x, 1, "sigmoid") for _ in range(3)]),
        "largest of sigmoids": lambda x: layers.Maximum()([dense(x, activation="sigmoid") for _ in range(2)]),
        "softmax times sigmoid": lambda x: layers.Multiply()([dense(x), dense(x, activation="sigmoid")]),
        "softmax operation": lambda x: ops.softmax(dense(x, activation=None)),
        "one sigmoid": lambda x: dense(x, 1, "sigmoid"),
        "average of sigmoids": lambda x: layers.Average()([dense(x, 1, "sigmoid") for _ in range(2)]),
        "hard sigmoid": lambda x: dense(x, 1, "hard_sigmoid"),
    }


NAMES = (
    *("ensemble", "weighted sum", "test-time augmentation", "linear in float32", "cast", "clip", "squeeze"),
    *("pooling of softmax", "time distributed", "concatenated heads", "largest of sigmoids", "softmax times sigmoid"),
    *("softmax operation", "one sigmoid", "average of sigmoids", "hard sigmoid"),
)


def drawn(outputs: Callable[[Any], Any], shape: tuple[int, ...] = (12, 12, 3), loss: Any = None) -> Any:
    """A model with weights that make its answers differ from picture to picture."""
    import keras

    x = keras.Input(shape)
    model = keras.Model(x, outputs(x))
    random = np.random.default_rng(7)
    for weight in model.weights:
        weight.assign(random.uniform(-2, 2, weight.shape))
    if loss is not None:
        model.compile("adam", loss)
    return model


def loaded(model: Any, folder: Path, **serving: Any) -> TracedModel:
    """The model as the function loads it from its files."""
    files = {"architecture.json": model.to_json().encode(), "model.weights.h5": saved(model, folder)}
    return load(as_bundle(files | {"serving.json": json.dumps(serving).encode()}), Phases())


def scores(model: TracedModel, picture: np.ndarray = PICTURE) -> list[float]:
    return list(model.serving.scores(np.asarray(model.call(picture)).reshape(-1).tolist()))


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_served_as_they_are(tmp_path: Path, name: str) -> None:
    model = drawn(endings()[name])
    own = np.asarray(model(PICTURE, training=False)).reshape(-1)

    found = loaded(model, tmp_path)

    expected = own if own.size > 1 else [1 - own[0], own[0]]
    assert scores(found) == pytest.approx(expected, abs=1e-6)
    assert found.serving.heads[0].known


def test_every_ending_is_tried() -> None:
    assert tuple(endings()) == NAMES


def test_logarithms_and_logits_become_probabilities(tmp_path: Path) -> None:
    for activation in ("log_softmax", None):
        model = drawn(partial(dense, activation=activation))
        own = np.exp(np.asarray(model(PICTURE), np.float64)).reshape(-1)
        assert scores(loaded(model, tmp_path)) == pytest.approx(own / own.sum(), abs=1e-6)


@pytest.mark.parametrize(
    ("units", "activation"), [(1, None), (1, "relu"), (1, "tanh"), (3, "tanh"), (3, "relu"), (1, "softmax")]
)
def test_what_can_not_be_known_is_asked(tmp_path: Path, units: int, activation: str | None) -> None:
    model = drawn(lambda x: dense(x, units, activation))
    if activation == "softmax":  # the last layer says it, and nothing but a probe could doubt it
        assert loaded(model, tmp_path).serving.output == "softmax"
        return
    with pytest.raises(ModelError, match=r"is not known: 8 probes.*publish --scores"):
        loaded(model, tmp_path)
    assert loaded(model, tmp_path, output="regression").serving.output == "regression"


@pytest.mark.parametrize(
    ("units", "loss", "output"),
    [(1, "mse", "regression"), (1, "bce", "logits"), (3, "bce", "sigmoid_logits"), (3, "sce", "logits")],
)
def test_the_loss_tells_numbers_of_any_size_apart(tmp_path: Path, units: int, loss: str, output: str) -> None:
    import keras

    losses = {
        "mse": "mse",
        "bce": keras.losses.BinaryCrossentropy(from_logits=True),
        "sce": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    }
    model = drawn(lambda x: dense(x, units, None), loss=losses[loss])
    assert loaded(model, tmp_path).serving.output == output


def test_one_output_under_a_name_is_that_output_and_of_several_those_named_are_served(tmp_path: Path) -> None:
    named = drawn(lambda x: {"probs": dense(x)})
    assert scores(loaded(named, tmp_path)) == pytest.approx(np.asarray(named(PICTURE)["probs"])[0], abs=1e-6)

    model = drawn(lambda x: {"zebra": dense(x, 1, "sigmoid"), "kind": dense(x), "age": dense(x, 1, None)})
    own = {name: np.asarray(value)[0] for name, value in model(PICTURE).items()}
    with pytest.raises(ModelError, match=r"3 outputs \(age, kind, zebra\).*--output"):
        loaded(model, tmp_path)
    with pytest.raises(ModelError, match="no output 'colour', but age, kind, zebra"):
        loaded(model, tmp_path, outputs={"colour": {}})
    heads = {"zebra": {"labels": ["no", "yes"]}, "kind": {"labels": ["a", "b", "c"], "top_k": 2}}
    served = loaded(model, tmp_path, outputs={**heads, "age": {"output": "regression", "labels": ["years"]}})
    answer = served.serving.answer(np.asarray(served.call(PICTURE)).reshape(-1).tolist())
    assert answer["predictions"] == answer["outputs"]["zebra"]
    assert {item["label"]: item["score"] for item in answer["outputs"]["zebra"]} == pytest.approx(
        {"yes": own["zebra"][0], "no": 1 - own["zebra"][0]}, abs=1e-6
    )
    assert [item["score"] for item in answer["outputs"]["kind"]] == pytest.approx(
        sorted(own["kind"], reverse=True)[:2], abs=1e-6
    )
    assert answer["outputs"]["age"] == [{"label": "years", "score": pytest.approx(own["age"][0], abs=1e-5)}]
    only = loaded(model, tmp_path, outputs={"kind": {}})
    assert set(only.serving.answer(np.asarray(only.call(PICTURE)).reshape(-1).tolist())) == {"predictions"}


@pytest.mark.parametrize(("shape", "size"), [((6, 5), None), ((30,), [6, 5]), ((90,), [6, 5])])
def test_pictures_without_channels_and_flat_ones_are_given_as_the_model_wants_them(
    tmp_path: Path, shape: tuple[int, ...], size: list[int] | None
) -> None:
    from keras import layers

    def ending(x: Any) -> Any:
        return layers.Dense(3, activation="softmax")(layers.Flatten()(layers.Rescaling(1 / 2550)(x)))

    model = drawn(ending, shape)
    found = loaded(model, tmp_path, **({"preprocessing": {"size": size}} if size else {}))

    assert found.serving.row == shape
    assert found.serving.preprocessing.color == ("rgb" if shape == (90,) else "grayscale")
    picture = np.random.default_rng(2).integers(0, 256, found.serving.preprocessing.shape).astype(np.float32)
    own = np.asarray(model(picture.reshape(1, *shape)))[0]
    assert scores(found, picture) == pytest.approx(own, abs=1e-6)


def test_a_flat_input_wants_a_size_that_fits(tmp_path: Path) -> None:
    from keras import layers

    model = drawn(lambda x: layers.Dense(3, activation="softmax")(x), (30,))
    with pytest.raises(ModelError, match=r"30 numbers in a row: .*--size"):
        loaded(model, tmp_path)
    with pytest.raises(ModelError, match=r"size is \[7, 5\]: no picture of that size"):
        loaded(model, tmp_path, preprocessing={"size": [7, 5]})


def test_a_model_without_an_answer_to_a_black_picture_is_served(tmp_path: Path) -> None:
    from keras import ops

    def standardized(x: Any) -> Any:
        x = x - ops.mean(x, axis=(1, 2, 3), keepdims=True)
        return dense(x / ops.std(x, axis=(1, 2, 3), keepdims=True) * 255)

    model = drawn(standardized)
    files = {"architecture.json": model.to_json().encode(), "model.weights.h5": saved(model, tmp_path)}
    assert np.isnan(np.asarray(model(np.zeros_like(PICTURE)))).all()
    assert open_keras(as_bundle(files)).serving.output == "softmax"
