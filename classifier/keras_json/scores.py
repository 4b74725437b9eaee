"""What a model's output is, told from the layers before it: which function made it, and how many numbers it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from classifier.keras_json.graph import Layer, Model, Tensor, tensors_in

if TYPE_CHECKING:
    from collections.abc import Iterator

# Layers that leave the kind of a score alone: softmax, then Reshape, is still a softmax (MobileNet ends so).
_KEEPS_KIND: Final = frozenset({"Reshape", "Flatten", "Identity", "Dropout", "Permute"})
# Layers that leave the last axis alone.
_KEEPS_WIDTH: Final = frozenset(
    {"Activation", "Softmax", "ReLU", "Identity", "Dropout", "BatchNormalization", "Rescaling"}
    | {"GlobalAveragePooling2D", "GlobalMaxPooling2D", "ops.softmax", "ops.sigmoid"}
)

_FAR: Final = 1_000  # enough for any chain of such layers, and an end for a graph that runs in a circle


def activation(graph: Model, tensor: Tensor) -> str:
    """The name of the function that made a tensor: "softmax", "sigmoid", "linear", ..."""
    for layer in _backwards(graph, tensor):
        own = _own_activation(layer)
        if own is not None:
            return own
        if layer.kind not in _KEEPS_KIND:
            break
    return "linear"


def units(graph: Model, tensor: Tensor) -> int | None:
    """The size of a tensor's last axis where a layer states it; None where it follows from the input's size."""
    for layer in _backwards(graph, tensor):
        stated = layer.options.get("units", layer.options.get("filters"))
        shape = layer.options.get("target_shape")
        if isinstance(shape, list) and shape:
            stated = shape[-1]
        if isinstance(stated, int) and stated > 0:
            return stated
        if layer.kind not in _KEEPS_WIDTH:
            break
    return None


def _backwards(graph: Model, tensor: Tensor) -> Iterator[Layer]:
    """The layer that made a tensor, the one that made its first input, and so on; into nested models, not out again."""
    for _ in range(_FAR):
        layer = graph.layer(tensor.layer)
        if layer.model is not None:
            inner = list(tensors_in(layer.model.outputs))
            graph, tensor = layer.model, inner[min(tensor.index, len(inner) - 1)]
            continue
        yield layer
        before = next((needed for call in layer.calls for needed in call.tensors()), None)
        if before is None:
            return
        tensor = before


def _own_activation(layer: Layer) -> str | None:
    if layer.kind in ("Softmax", "ops.softmax"):
        return "softmax"
    if layer.kind == "ops.sigmoid":
        return "sigmoid"
    named = layer.options.get("activation")
    if isinstance(named, Layer):
        return _own_activation(named) or named.kind
    return named if isinstance(named, str) else None
