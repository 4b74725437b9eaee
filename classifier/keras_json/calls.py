"""Reads which tensors each layer is called on: Keras 2's lists, Keras 3's {"args", "kwargs"}."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from classifier.errors import ModelError
from classifier.keras_json import values
from classifier.keras_json.graph import Array, Call, Ellipsis_, Layer, Model, Slice, Tensor, tensors_in
from classifier.keras_json.words import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from classifier.documents import Json
    from classifier.keras_json.graph import Value

_ARGUMENTS: Final = words("""
    training mask initial_state attention_mask return_attention_scores use_causal_mask query value key query_mask
    value_mask key_mask inputs sequences
""")
_RECURRENT: Final = frozenset(
    {"SimpleRNN", "LSTM", "GRU", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional"}
)


def read(nodes: Json, kind: str, place: str) -> tuple[Call, ...]:
    """The calls of a layer from its "inbound_nodes"."""
    return tuple(_checked(call, place) for call in read_any(nodes, kind, place))


def read_any(nodes: Json, kind: str, place: str) -> tuple[Call, ...]:
    """The calls of a layer or an operation, with whatever arguments."""
    if nodes is None:
        return ()
    if not isinstance(nodes, list):
        raise ModelError(f"{place}: inbound_nodes is not a list")
    return tuple(_call(node, kind, place) for node in nodes)


def _call(node: Json, kind: str, place: str) -> Call:
    if isinstance(node, dict):
        args, kwargs = node.get("args"), node.get("kwargs")
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise ModelError(f"{place}: a call without args and kwargs")
        return Call(tuple(value(arg, place) for arg in args), {name: value(arg, place) for name, arg in kwargs.items()})
    return _keras_2_call(node, kind, place)


def _keras_2_call(node: Json, kind: str, place: str) -> Call:
    """[[name, call, output, kwargs], ...]: several tensors are one list, but a recurrent layer takes its states."""
    if not isinstance(node, list) or not node:
        raise ModelError(f"{place}: a call without inputs")
    if isinstance(node[0], str):  # a single tensor, not in a list: tf.keras 2.4-2.15 wrote that for nested structures
        node = [node]
    tensors: list[Value] = []
    kwargs: dict[str, Value] = {}
    for item in node:
        tensors.append(_keras_2_argument(item, place))
        if isinstance(item, list) and len(item) == 4 and isinstance(item[3], dict):
            kwargs = {name: _keras_2_value(arg, place) for name, arg in item[3].items()}
    if len(tensors) == 1:
        return Call((tensors[0],), kwargs)
    if kind in _RECURRENT:
        return Call((tensors[0],), {**kwargs, "initial_state": tensors[1:]})
    return Call((tensors,), kwargs)


def _keras_2_argument(item: Json, place: str) -> Value:
    """A tensor, or ["_CONSTANT_VALUE", -1, constant, kwargs] (tf.keras 2.4-2.15)."""
    if isinstance(item, list) and len(item) in (3, 4) and item[0] == "_CONSTANT_VALUE":
        return _constant(item[2], place)
    return _tensor(item, place)


def _keras_2_value(item: Json, place: str) -> Value:
    """An argument by name; a tensor stands there as [layer, call, output]."""
    if _is_tensor(item):
        return _tensor(item, place)
    if isinstance(item, list):
        return [_keras_2_value(child, place) for child in item]
    if isinstance(item, dict) and "class_name" not in item:
        if set(item) == {"start", "stop", "step"}:
            return Slice(*(_keras_2_value(item[key], place) for key in ("start", "stop", "step")))
        return {name: _keras_2_value(child, place) for name, child in item.items()}
    return value(item, place)


def _is_tensor(item: Json) -> bool:
    return (
        isinstance(item, list)
        and len(item) in (3, 4)
        and isinstance(item[0], str)
        and type(item[1]) is int
        and type(item[2]) is int
    )


def _tensor(item: Json, place: str) -> Tensor:
    if not isinstance(item, list) or len(item) not in (3, 4) or not isinstance(item[0], str):
        raise ModelError(f"{place}: {str(item)[:80]} does not name a tensor")
    call, index = item[1], item[2]
    if type(call) is not int or type(index) is not int or call < 0 or index < 0:
        raise ModelError(f"{place}: {str(item)[:80]} does not name a tensor")
    return Tensor(item[0], call, index)


def value(item: Json, place: str) -> Value:
    """An argument in Keras 3's form: plain, a tensor, a constant, or a list or dictionary of those."""
    if isinstance(item, list):
        return [value(child, place) for child in item]
    if not isinstance(item, dict):
        return item
    config = item.get("config")
    match item.get("class_name"):
        case None:
            return {name: value(child, place) for name, child in item.items()}
        case "__keras_tensor__" if isinstance(config, dict):
            return _tensor(config.get("keras_history"), place)
        case "__slice__" if isinstance(config, dict):
            return Slice(*(value(config.get(key), place) for key in ("start", "stop", "step")))
        case "__ellipsis__":
            return Ellipsis_()
        case "__tensor__" | "__numpy__" if isinstance(config, dict):
            return Array(_constant(config.get("value"), place), values.dtype(config.get("dtype"), place))
    return _constant(item, place)


def _constant(item: Json, place: str) -> Value:
    values.check_plain(item, place)
    return values.unwrap(item, place)  # type: ignore[return-value]  # Json is a Value


def _checked(call: Call, place: str) -> Call:
    unknown = [name for name in call.kwargs if name not in _ARGUMENTS]
    if unknown:
        raise ModelError(f"{place}: it is called with the unknown argument {unknown[0]!r}")
    return dataclasses.replace(call, kwargs={name: arg for name, arg in call.kwargs.items() if arg is not None})


def with_calls(layer: Layer, made: tuple[Call, ...]) -> Layer:
    """The layer, called so."""
    return dataclasses.replace(layer, calls=made)


def references(item: Json, place: str) -> Value:
    """A model's inputs or outputs; a list of one is the one, as Keras 2 had it.

    Keras counts those in a dictionary in the order of their keys (keras/src/tree, flatten).
    """
    if _is_tensor(item):
        return _tensor(item, place)
    if isinstance(item, dict) and item:
        return {name: references(item[name], place) for name in sorted(item)}
    if not isinstance(item, list) or not item:
        raise ModelError(f"{place}: it does not say what its inputs and outputs are")
    found = [references(child, place) for child in item]
    return found[0] if len(found) == 1 else found


def resolve(model: Model, *, keras_2: bool) -> Model:
    """Check every reference, and count calls of nested models from 0.

    A nested model's first call had the number 1 in Keras 2, because making the model was number 0; Keras 3 counts from
    0 in calls and from 1 in outputs. The numbers used show which it is; where they leave it open, the writer decides.
    """
    counts: dict[str, int] = {}
    for layer in model.layers:
        if layer.name in counts:
            raise ModelError(f"two layers of {model.name!r} are called {layer.name!r}")
        counts[layer.name] = max(1, len(layer.calls)) if layer.kind == "InputLayer" else len(layer.calls)
    nested = {layer.name for layer in model.layers if layer.model is not None}
    inner = [tensor for layer in model.layers for call in layer.calls for tensor in call.tensors()]
    outer = [*tensors_in(model.outputs)]
    for tensor in tensors_in(model.inputs):
        if tensor.layer not in counts:
            raise ModelError(f"input {tensor.layer!r} of {model.name!r} is not one of its layers")
    renumber_inner = _renumbering(inner, nested, counts, first=1 if keras_2 else 0)
    renumber_outer = _renumbering(outer, nested, counts, first=1)
    layers = tuple(
        with_calls(layer, tuple(_mapped_call(call, renumber_inner) for call in layer.calls)) for layer in model.layers
    )
    return Model(model.name, layers, model.inputs, mapped(model.outputs, renumber_outer))


def _renumbering(
    tensors: Iterable[Tensor], nested: set[str], counts: Mapping[str, int], first: int
) -> Callable[[Tensor], Tensor]:
    used: dict[str, set[int]] = {}
    for tensor in tensors:
        used.setdefault(tensor.layer, set()).add(tensor.call)
    offsets: dict[str, int] = {}
    for name, numbers in used.items():
        if name not in counts:
            raise ModelError(f"a layer is called on {name!r}, which is not in the model")
        offsets[name] = 0
        if name in nested and 0 not in numbers:
            offsets[name] = 1 if max(numbers) == counts[name] or counts[name] == 1 else first
        if max(numbers) - offsets[name] >= counts[name]:
            raise ModelError(f"call {max(numbers)} of layer {name!r} is used, which has {counts[name]}")
    return lambda tensor: dataclasses.replace(tensor, call=tensor.call - offsets[tensor.layer])


def _mapped_call(call: Call, change: Callable[[Tensor], Tensor]) -> Call:
    return Call(
        tuple(mapped(arg, change) for arg in call.args),
        {name: mapped(arg, change) for name, arg in call.kwargs.items()},
    )


def mapped(item: Value, change: Callable[[Tensor], Value]) -> Value:
    """The structure with each Tensor changed."""
    if isinstance(item, Tensor):
        return change(item)
    if isinstance(item, list):
        return [mapped(child, change) for child in item]
    if isinstance(item, tuple):
        return tuple(mapped(child, change) for child in item)
    if isinstance(item, dict):
        return {name: mapped(child, change) for name, child in item.items()}
    if isinstance(item, Slice):
        return Slice(mapped(item.start, change), mapped(item.stop, change), mapped(item.step, change))
    return item


def replace_numbers(item: Json) -> Value:
    """A constant of a graph node as a plain value."""
    if isinstance(item, list):
        return [replace_numbers(child) for child in item]
    return None if isinstance(item, dict) else item
