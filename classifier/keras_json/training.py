"""`training=True` in a call of Keras 2, where it holds at prediction too: honoured, or refused by name.

Keras 2 takes what the call states before what `predict` says, and hands it on to the layers of a nested model
(engine/base_layer.py of 2.15, `_set_call_arg_defaults`); Keras 3 takes what `predict` says (models/functional.py,
`operation_fn`), so there the argument means nothing.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Final

from classifier.errors import ModelError
from classifier.keras_json.graph import Call, Layer, Model
from classifier.keras_json.history import class_name
from classifier.keras_json.layers import INERT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.keras_json.eras import Writer

OWN_STATISTICS: Final = "OwnStatisticsNormalization"
_RANDOM: Final = ("dropout", "recurrent_dropout", "rate", "stddev")
_LEFT_OUT: Final = INERT | {"RandomCrop", "FixedDropout", "DropConnect"}
"""Layers whose options are not kept, as they don't matter outside of training."""


def as_called(model: Model, writer: Writer) -> Model:
    """The model with each `training` of its calls settled: none is left in the graph.

    ModelError names a layer whose answers the argument makes random, or whose meaning then differed between versions.
    """
    return _settled(model, writer, outer=False)


def _settled(model: Model, writer: Writer, *, outer: bool) -> Model:
    return dataclasses.replace(model, layers=tuple(_layer(layer, writer, outer=outer) for layer in model.layers))


def _layer(layer: Layer, writer: Writer, *, outer: bool) -> Layer:
    place = f"layer {layer.name!r} ({layer.written_kind or layer.kind}), written by Keras {writer.version}"
    modes = [_mode(call, place, outer=outer and writer.keras_2) for call in layer.calls]
    if not writer.keras_2:
        modes = [False for _ in modes]
    plain = dataclasses.replace(layer, calls=tuple(_without(call) for call in layer.calls))
    if layer.model is not None:
        return dataclasses.replace(plain, model=_nested(layer.model, modes, writer, place))
    if not any(modes):
        return plain
    if layer.kind == "BatchNormalization":
        return _own_statistics(plain, modes, writer, place)
    for held in _held(layer):
        if held.kind == "BatchNormalization" or _is_random(held):
            raise ModelError(f"{place}: {_refusal(held)}")
    return plain


def _mode(call: Call, place: str, *, outer: bool) -> bool:
    """Whether one call trains: what it states, else what the model around it was called with."""
    stated = call.kwargs.get("training")
    if stated is None:
        return outer
    if not isinstance(stated, bool | int):
        raise ModelError(f"{place}: it is called with training={str(stated)[:80]}, expected true or false")
    return bool(stated)


def _without(call: Call) -> Call:
    return Call(call.args, {name: value for name, value in call.kwargs.items() if name != "training"})


def _nested(model: Model, modes: list[bool], writer: Writer, place: str) -> Model:
    found = [_settled(model, writer, outer=mode) for mode in sorted(set(modes))] or [
        _settled(model, writer, outer=False)
    ]
    if any(other != found[0] for other in found):
        raise ModelError(f"{place}: it is called with training=True and without, which is one model with two meanings")
    return found[0]


def _own_statistics(layer: Layer, modes: list[bool], writer: Writer, place: str) -> Layer:
    """A normalization by the picture's own mean and variance, in those calls that ask for it."""
    if not layer.trainable:
        # A frozen one keeps to its moving averages since TensorFlow 2 (`_USE_V2_BEHAVIOR`): 2.2.4-tf may be of 1 or 2.
        if writer.release is None or writer.release < (2, 3) or not _is_tensorflows(writer.version):
            raise ModelError(
                f"{place}: it is frozen and called with training=True, which meant different things in 2.x"
            )
        return layer
    if layer.options.get("renorm"):
        raise ModelError(f"{place}: it is called with training=True and renorm, which has no equal here")
    calls = tuple(
        Call(call.args, {**call.kwargs, "own_statistics": mode}) for call, mode in zip(layer.calls, modes, strict=True)
    )
    return dataclasses.replace(layer, kind=OWN_STATISTICS, calls=calls)


def _is_tensorflows(version: str) -> bool:
    """Whether tf.keras wrote it: multi-backend Keras ended with 2.3."""
    return version.endswith("-tf") or not re.match(r"2\.[0-3](\.|$)", version)


def _held(layer: Layer) -> Iterator[Layer]:
    """The layer and those inside of it."""
    yield layer
    for value in layer.options.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Layer):
                yield from _held(item)
    if layer.model is not None:
        for inner in layer.model.layers:
            yield from _held(inner)


def _is_random(layer: Layer) -> bool:
    left_out = class_name(layer.written_kind) in _LEFT_OUT or layer.kind == "SpectralNormalization"
    return left_out or any(layer.options.get(name) for name in _RANDOM)


def _refusal(layer: Layer) -> str:
    what = "differ from request to request" if _is_random(layer) else "depend on more than the picture"
    return (
        f"it is called with training=True, which Keras 2 keeps at prediction, so {layer.written_kind or layer.kind} "
        f"makes answers {what}; save the model without that argument"
    )
