"""What differs between two models' documents, by setting and by layer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lifecycle.diff import MOST_LINES, _lines
from lifecycle.differences import layers, settings


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"top_k": 5}, {"top_k": 5}, []),
        ({"top_k": 5}, {"top_k": 3}, ["top_k: 5 -> 3"]),
        ({"a": {"b": 1}}, {"a": {"b": 2, "c": [8, 8]}}, ["a.b: 1 -> 2", "a.c: not stated -> [8, 8]"]),
        ({"temperature": 0.7}, {}, ["temperature: 0.7 -> not stated"]),
        ({"labels": ["a", "b"]}, {"labels": ["a", "c", "d"]}, ["labels: gone b; new c, d"]),
        ({"labels": ["a", "b"]}, {"labels": ["b", "a"]}, ["labels: in another order"]),
        ({"labels": ["a", "a"]}, {"labels": ["a"]}, ["labels: 2 -> 1, some of them twice"]),
        ({"labels": ["x"]}, {"labels": [*"abcdefgh"]}, ["labels: gone x; new a, b, c, d, e, f and 2 more"]),
        ({"title": "x" * 99}, {"title": "y"}, [f"title: {'x' * 77}... -> y"]),
    ],
)
def test_settings_that_differ_are_named(old: Any, new: Any, expected: list[str]) -> None:
    assert list(settings(old, new)) == expected


type Made = tuple[str, dict[str, Any]]
CONV: Made = ("Conv2D", {"filters": 8})
POOL: Made = ("Pool", {})
DENSE: Made = ("Dense", {"units": 3, "activation": "softmax"})
WIDER: Made = ("Dense", {"units": 4, "activation": "softmax"})


def model(*made: Made, start: int = 0) -> dict[str, Any]:
    """A model's JSON; names are numbered from `start`, as Keras does in one process after another."""
    inner = [
        {"module": "keras.layers", "class_name": kind, "config": {"name": f"{kind.lower()}_{start + index}", **options}}
        for index, (kind, options) in enumerate(made)
    ]
    return {"class_name": "Functional", "config": {"name": f"m_{start}", "layers": inner}}


def test_layers_are_matched_by_kind_and_place_not_by_name() -> None:
    before = model(CONV, POOL, DENSE)
    assert layers(before, model(CONV, POOL, WIDER, start=7)) == ["Dense dense_9: units: 3 -> 4"]
    assert layers(before, model(CONV, POOL, DENSE, start=9)) == [
        "the same layers and settings; they are connected, named or written otherwise"
    ]


def test_layers_that_came_and_went_are_named_and_those_of_nested_models_too() -> None:
    before = {"class_name": "Functional", "config": {"name": "outer", "layers": [model(CONV, POOL), model(DENSE)]}}
    after = model(CONV, CONV, ("Dropout", {"rate": 0.2}), DENSE)
    assert layers(before, after) == ["gone: Pool pool_1", "new: Conv2D conv2d_1", "new: Dropout dropout_2"]


@pytest.mark.tensorflow
def test_a_change_of_a_real_models_layer_is_one_line() -> None:
    import keras

    def made(dilation: int, activation: str) -> dict[str, Any]:
        inside = keras.Input((8, 8, 3))
        tensor = keras.layers.Conv2D(4, 3, dilation_rate=dilation, kernel_initializer="he_normal")(inside)
        outside = keras.layers.Dense(2, activation=activation)(keras.layers.Flatten()(tensor))
        document: dict[str, Any] = json.loads(keras.Model(inside, outside).to_json())
        return document

    found = layers(made(1, "softmax"), made(2, "softmax"))
    assert len(found) == 1
    assert found[0].startswith("Conv2D conv2d")
    assert found[0].endswith("dilation_rate: [1, 1] -> [2, 2]")


def test_what_is_printed_fits_a_screen() -> None:
    many = [f"Dense dense_{index}: units: 1 -> 2" for index in range(500)]
    document = {"old": "a", "new": "b", "facts": {}, "objects": {"x": "changed"}, "serving.json": many}
    lines = _lines({**document, "architecture.json": many})
    assert len(lines) < 40
    assert lines.count(f"  ... and {500 - MOST_LINES} more: --json has all") == 2
