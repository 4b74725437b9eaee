"""Models that resize by themselves: what their first layers do to a picture, read from the JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from classifier.keras_json.architecture import read_architecture
from classifier.keras_json.resizing import own_resizing

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.tensorflow

FIELDS = {"size": [96, 80], "filter": "bilinear", "resize": "stretch", "antialias": False}
type Layers = Any


def first(layers: Layers) -> list[Any]:
    return [layers.Resizing(96, 80)]


MODELS: list[tuple[Callable[[Layers], list[Any]], dict[str, Any] | None]] = [
    (first, FIELDS),
    (lambda layers: [layers.Rescaling(1 / 255), *first(layers)], FIELDS),
    (lambda layers: [layers.RandomFlip(), *first(layers)], FIELDS),
    (
        lambda layers: [layers.Resizing(96, 80, interpolation="area", crop_to_aspect_ratio=True)],
        {**FIELDS, "filter": "area", "resize": "crop"},
    ),
    (
        lambda layers: [layers.Resizing(96, 80, pad_to_aspect_ratio=True, antialias=True)],
        {**FIELDS, "resize": "pad-resize", "antialias": True},
    ),
    (lambda layers: [layers.Resizing(96, 80, pad_to_aspect_ratio=True, fill_value=255.0)], None),
    (lambda layers: [layers.Rescaling(2.0, 1.0), layers.Resizing(96, 80, pad_to_aspect_ratio=True)], None),
    (lambda layers: [layers.Conv2D(3, 3), *first(layers)], None),
    (lambda layers: [layers.GlobalAveragePooling2D()], None),
]


def written(build: Callable[[Layers], list[Any]], *, nested: bool) -> bytes:
    import keras

    layers = build(keras.layers)
    start = [keras.Sequential([keras.Input((None, None, 3)), *layers])] if nested else layers
    end = [] if "Pooling" in type(layers[-1]).__name__ else [keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((None, None, 3)), *start, *end, keras.layers.Dense(2)])
    data: bytes = model.to_json().encode()
    return data


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("build", "fields"), MODELS)
def test_what_the_first_layers_do_is_read(
    build: Callable[[Layers], list[Any]], fields: dict[str, Any] | None, nested: bool
) -> None:
    assert own_resizing(read_architecture(written(build, nested=nested)).graph) == fields


def test_a_picture_that_goes_another_way_too_is_no_resizing() -> None:
    import keras

    picture = keras.Input((None, None, 3))
    small = keras.layers.GlobalAveragePooling2D()(keras.layers.Resizing(96, 80)(picture))
    both = keras.layers.Add()([small, keras.layers.GlobalAveragePooling2D()(picture)])
    model = keras.Model(picture, keras.layers.Dense(2)(both))
    assert own_resizing(read_architecture(model.to_json().encode()).graph) is None
