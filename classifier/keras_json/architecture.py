"""What a caller sees of an architecture: shapes, outputs, who wrote it; and how to build it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from classifier.documents import blamed
from classifier.errors import ModelError, ModelTooLargeError
from classifier.keras_json import document, losses, scores, training
from classifier.keras_json.building import Builder, Built
from classifier.keras_json.eras import writer_of
from classifier.keras_json.graph import Model, tensors_in
from classifier.keras_json.limits import Limits
from classifier.keras_json.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from classifier.documents import Json

type Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """One output: its name, the function that made it ("softmax", "sigmoid", "linear", ...) if that is one's doing, how
    many numbers it has where the JSON says so, and what the loss that it was trained with takes (losses.py).
    """

    name: str
    activation: str | None
    units: int | None
    loss: str | None


@dataclass(frozen=True, slots=True)
class Architecture:
    """A checked model.

    `writer`: the Keras version in the JSON, "3" for Keras 3's own, which names none. `input_shapes`: without the batch,
    in the writer's order; a size that the writer left open is None. `backend`: what that Keras computed with.
    """

    graph: Model
    writer: str
    backend: str
    input_shapes: tuple[Shape, ...]
    outputs: tuple[Output, ...]
    limits: Limits

    def build(self, stored: int | None = None) -> Built:
        """Build with current Keras, not compiled, every weight zero.

        `stored`: how many numbers the weights file has, where there is one. Raises ModelError or ModelTooLargeError.
        """
        return Builder(self.limits, stored).build(self.graph)


def read_architecture(data: bytes, limits: Limits | None = None) -> Architecture:
    """Read what `model.to_json()` of Keras 2.0.6 to 3.x wrote; pure Python, imports no Keras.

    Raises ModelError (broken, or an option that has no equal today), ModelNotAllowedError (not on the allow-list),
    ModelTooLargeError; each names layer, option and writer.
    """
    limits = limits or Limits()
    with blamed("architecture JSON"):
        return from_document(document.parse(data, limits), limits)


def from_document(entry: Mapping[str, Json], limits: Limits) -> Architecture:
    """The same, of JSON that was read already (a `.keras` or `.h5` file holds it inside)."""
    if entry.get("compiled_only") is True:
        raise ModelError(
            f"the model was published in compiled form only, from a {str(entry.get('source'))[:40]}: it has no Keras "
            "layers, so TensorFlow can't rebuild it; serve it with ENGINE=auto or litert, or publish it again",
            public="The model is there in compiled form only, which this function's engine does not run.",
        )
    writer = writer_of(entry)
    graph = training.as_called(Reader(limits, writer).model(entry, "model"), writer)
    if _calls(graph, limits.max_calls) > limits.max_calls:
        raise ModelTooLargeError(f"the model calls more than {limits.max_calls:,} layers")
    return Architecture(
        graph=graph,
        writer=writer.version,
        backend=writer.backend,
        input_shapes=tuple(_shapes(graph)),
        outputs=tuple(_outputs(graph, entry.get("compile_config"))),
        limits=limits,
    )


def _outputs(graph: Model, training: Json) -> Iterator[Output]:
    names = scores.names(graph.outputs)
    for name, tensor, loss in zip(names, tensors_in(graph.outputs), losses.taken(training, names), strict=True):
        yield Output(name, scores.activation(graph, tensor), scores.units(graph, tensor), loss)


def _calls(graph: Model, most: int) -> int:
    total = 0
    for layer in graph.layers:
        inner = _calls(layer.model, most) if layer.model is not None else 0
        total += (1 + inner) * max(1, len(layer.calls))
    return total


def _shapes(graph: Model) -> list[Shape]:
    shapes: list[Shape] = []
    for tensor in tensors_in(graph.inputs):
        layer = graph.layer(tensor.layer)
        shape = layer.options.get("batch_shape")
        if layer.kind != "InputLayer" or not isinstance(shape, list):
            raise ModelError(f"input {tensor.layer!r} of {graph.name!r} is not an input layer")
        shapes.append(tuple(size if isinstance(size, int) else None for size in shape[1:]))
    return shapes
