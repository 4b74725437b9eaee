"""What a model's outputs are, told from the layers before them: which function made each, and how many numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from classifier.keras_json.graph import Layer, Model, Tensor, tensors_in
from classifier.keras_json.values import ACTIVATIONS
from classifier.keras_json.words import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.keras_json.graph import Value

# Layers that leave the kind of a score alone: softmax, then Reshape, is still a softmax (MobileNet ends so).
_KEEPS_KIND: Final = words("""
    Reshape Flatten Identity Dropout Permute ActivityRegularization ops.cast ops.copy ops.reshape ops.squeeze
    ops.expand_dims ops.stop_gradient ops.ravel
""")
# Layers that leave the last axis alone.
_KEEPS_WIDTH: Final = words("""
    Activation Softmax ReLU Identity Dropout BatchNormalization Rescaling GlobalAveragePooling2D GlobalMaxPooling2D
    ops.softmax ops.sigmoid
""")
_LAYERS_OF_FUNCTIONS: Final = {"Softmax": "softmax", "ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu"}

_FAR: Final = 1_000  # enough for any chain of such layers, and an end for a graph that runs in a circle


def activation(graph: Model, tensor: Tensor) -> str | None:
    """The name of the function that made a tensor: "softmax", "sigmoid", "linear" of a layer without one, ...

    None where that is not one layer's doing: an average, a sum, a pooling.
    """
    for layer in _backwards(graph, tensor):
        own = _own_activation(layer)
        if own is not None and not (layer.kind == "Activation" and own == "linear"):
            return own
        if own is None and layer.kind not in _KEEPS_KIND:
            return None
    return None


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


def names(outputs: Value) -> list[str]:
    """The outputs' names, as Keras gives them: the keys of a dictionary, else those of the layers that make them."""
    found: list[str] = []
    for name in _names(outputs, ""):
        number, own = 1, name
        while name in found:
            name, number = f"{own}_{number}", number + 1
        found.append(name)
    return found


def _names(value: Value, key: str) -> Iterator[str]:
    if isinstance(value, Tensor):
        yield key or value.layer
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _names(inner, f"{key}/{name}" if key else name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _names(inner, "")


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
    """The function that a layer ends with; "linear" for one that has weights and could have one."""
    named = layer.options.get("activation")
    if isinstance(named, Layer):
        return _own_activation(named) or named.kind
    if layer.kind in _LAYERS_OF_FUNCTIONS:
        return _LAYERS_OF_FUNCTIONS[layer.kind]
    if layer.kind.removeprefix("ops.") in ACTIVATIONS and layer.kind.startswith("ops."):
        return layer.kind.removeprefix("ops.")
    return named if isinstance(named, str) else None
