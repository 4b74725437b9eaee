"""Each class of keras.layers either answers as it does in Keras itself, or is refused with the reason."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from classifier.errors import ModelNotAllowedError
from classifier.keras_json.architecture import read_architecture
from classifier.keras_json.history import CLASS_NAMES
from classifier.keras_json.layers import INERT, LAYERS, MODELS, OURS
from classifier.keras_json.refused import REFUSED
from classifier.keras_weights.loading import load_model
from local.launch import PROJECT
from tests.support.keras_layer_cases import AUGMENTING, HOLDING, OF_LISTS, OF_PAIRS, ROWS, held
from tests.support.keras_models import layer, sequential

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.tensorflow
DOCS = PROJECT / "docs" / "internals" / "keras-versions.md"


def keras_layers() -> set[str]:
    """Every class of keras.layers."""
    import keras

    named = ((name, getattr(keras.layers, name)) for name in dir(keras.layers))
    return {name for name, found in named if inspect.isclass(found) and issubclass(found, keras.Layer)}


def made(kind: str) -> Iterator[Any]:
    from keras import layers

    if kind in HOLDING:
        yield from held(kind)
        return
    for options in ROWS[kind][1]:
        yield getattr(layers, kind)(**options)


def model_with(kind: str, candidate: Any) -> Any:
    """A model of one layer, its weights drawn at random."""
    import keras

    x = keras.Input(HOLDING.get(kind) or ROWS[kind][0])
    if kind in OF_LISTS | OF_PAIRS:
        other = keras.layers.Dense(x.shape[-1])(x)
        y = candidate([x, other]) if kind in OF_LISTS else candidate(x, other)
    else:
        y = candidate(x)
    model = keras.Model(x, y)
    drawn = np.random.default_rng(5)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(drawn.uniform(0.2, 1, weight.shape) * (1 if "var" in weight.name else drawn.choice([-1, 1])))
    if kind == "Normalization":
        candidate.finalize_state()
    return model


def both_answers(model: Any, folder: Path, x: Any) -> tuple[Any, Any]:
    """What Keras answers, and what the model loaded from its files does."""
    path = folder / "m.weights.h5"
    model.save_weights(path)
    loaded = load_model(read_architecture(model.to_json().encode()), path)
    return np.asarray(model(x, training=False)), np.asarray(loaded(x, training=False))


@pytest.mark.parametrize("kind", sorted(set(ROWS) | set(HOLDING)))
def test_a_layer_answers_as_in_keras(kind: str, tmp_path: Path) -> None:
    for candidate in made(kind):
        model = model_with(kind, candidate)
        high = 10 if kind == "Embedding" else 1
        x = np.random.default_rng(3).uniform(0, high, (2, *model.input_shape[1:])).astype(np.float32)

        own, loaded = both_answers(model, tmp_path, x)

        np.testing.assert_allclose(loaded, own, atol=1e-5, rtol=1e-5)


def test_a_normalization_that_was_adapted_normalizes(tmp_path: Path) -> None:
    """Its constants follow from its weights only when somebody asks it to derive them."""
    import keras

    x = np.random.default_rng(3).uniform(50, 200, (64, 4, 4, 3)).astype(np.float32)
    normalization = keras.layers.Normalization()
    normalization.adapt(x)

    own, loaded = both_answers(keras.Sequential([keras.Input((4, 4, 3)), normalization]), tmp_path, x)

    np.testing.assert_array_equal(loaded, own)
    assert loaded.mean((0, 1, 2)) == pytest.approx([0, 0, 0], abs=1e-4)
    assert loaded.std((0, 1, 2)) == pytest.approx([1, 1, 1], abs=1e-4)


def test_augmentation_does_nothing_outside_of_training() -> None:
    import keras

    x = np.random.default_rng(3).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    for kind in sorted(INERT & keras_layers()):
        augment = getattr(keras.layers, kind)(**AUGMENTING.get(kind, {}))
        written = keras.saving.serialize_keras_object(augment)

        loaded = read_architecture(sequential(written, shape=(8, 8, 3))).build().model

        np.testing.assert_array_equal(np.asarray(augment(x, training=False)), x, err_msg=kind)
        np.testing.assert_array_equal(np.asarray(loaded(x)), x, err_msg=kind)


def test_every_class_of_keras_layers_is_loaded_or_refused_and_not_both() -> None:
    loaded = set(LAYERS) | INERT | MODELS
    for kind in keras_layers():
        assert (CLASS_NAMES.get(kind, kind) in loaded) != (kind in REFUSED), kind


def test_every_loaded_layer_is_compared_with_keras() -> None:
    assert set(ROWS) | set(HOLDING) == set(LAYERS) - set(OURS) - {"InputLayer"}


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_a_refused_layer_is_refused_with_its_reason(kind: str) -> None:
    with pytest.raises(ModelNotAllowedError, match=rf"\({kind}\).*{re.escape(REFUSED[kind])}"):
        read_architecture(sequential(layer(kind)))


def test_the_documentation_lists_every_layer() -> None:
    text = DOCS.read_text()
    table = {
        kind
        for row in re.findall(r"^\| (?:loaded|inert|refused).*$", text, re.M)
        for kind in re.findall(r"`(\w+)`", row)
    }
    aliases = {name for name in keras_layers() if name in CLASS_NAMES}

    assert table == keras_layers() - aliases | set(REFUSED) | INERT


@pytest.mark.parametrize(
    ("version", "size", "kind"),
    [
        ("2.4.0", (5, 6), "ScaledCenterCrop"),
        ("2.6.0", (5, 6), "ScaledCenterCrop"),
        ("2.7.0", (5, 6), "Resizing"),
        ("2.15.0", (5, 6), "Resizing"),
        ("3.5.0", (5, 6), "Resizing"),
        ("3.8.0", (9, 8), "Identity"),
    ],
)
def test_random_crop_does_what_its_writers_did(version: str, size: tuple[int, int], kind: str) -> None:
    bundle = json.loads(sequential(layer("RandomCrop", height=5, width=6), shape=(9, 8, 3)))
    architecture = read_architecture(json.dumps(bundle | {"keras_version": version}).encode())

    assert architecture.graph.layers[1].kind == kind
    assert architecture.build().model.output_shape[1:3] == size


@pytest.mark.parametrize("version", [None, "3.6.0", "3.7.0"])
def test_random_crop_of_an_unknown_or_odd_writer_is_refused(version: str | None) -> None:
    bundle = json.loads(sequential(layer("RandomCrop", height=5, width=6), shape=(9, 8, 3)))

    with pytest.raises(ModelNotAllowedError, match="RandomCrop"):
        read_architecture(json.dumps(bundle | ({"keras_version": version} if version else {})).encode())
