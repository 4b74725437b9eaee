"""Layers whose writer put channels first: TensorFlow has no such convolution or pooling on a CPU.

Each is built with channels last between two transposes, so every tensor of the graph keeps the writer's layout, and
nothing else (Flatten, BatchNormalization's axis, Concatenate, Reshape) needs to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from classifier.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from classifier.keras_json.graph import Layer, Model

type Tensor = Any

_KINDS: Final = ("Conv", "DepthwiseConv", "SeparableConv", "MaxPooling", "AveragePooling", "Adaptive", "TensorFlow1")


def needs_help(layer: Layer) -> bool:
    """Whether a layer computes on channels first in a way that a CPU can't."""
    return layer.options.get("data_format") == "channels_first" and layer.kind.startswith(_KINDS)


def is_channels_first(graph: Model) -> bool:
    """Whether the model's pictures have their channels first."""
    return any(
        layer.options.get("data_format") == "channels_first"
        or (layer.model is not None and is_channels_first(layer.model))
        for layer in graph.layers
    )


def transposed(layer: Layer, run: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Call `run`, which was built with channels last, on a tensor with channels first; its result likewise."""
    leading = 2 if layer.kind.startswith("ConvLSTM") else 1  # the batch, and the steps of a sequence

    def call(x: Tensor, **kwargs: Tensor) -> Tensor:
        import keras

        rank = len(x.shape)
        last = (*range(leading), *range(leading + 1, rank), leading)
        result = run(keras.ops.transpose(x, last), **kwargs)
        if isinstance(result, list | tuple):
            raise ModelError(f"layer {layer.name!r} ({layer.kind}): states with channels first are not supported")
        rank = len(result.shape)
        start = leading if rank == len(x.shape) else 1  # ConvLSTM gives the last step only, or all
        return keras.ops.transpose(result, (*range(start), rank - 1, *range(start, rank - 1)))

    return call
