"""Makes a keras.Model from a graph by Keras's public constructors: no Keras deserializer ever sees the JSON."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from classifier.errors import ModelError, ModelTooLargeError
from classifier.keras_json import channels, own_layers, sharing
from classifier.keras_json.calls import mapped
from classifier.keras_json.graph import Array, Call, Ellipsis_, Layer, Model, Slice, Tensor, tensors_in
from classifier.keras_json.layers import LAYERS, OURS
from classifier.keras_json.own_layers import keras2_hard_sigmoid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import keras

    from classifier.keras_json.graph import Value
    from classifier.keras_json.limits import Limits

type Tensors = Any  # a structure of KerasTensors
type Option = Any  # what a Keras constructor takes
type Initializer = Any

_FRAMES_PER_LAYER = 4
_SLACK = 10_000
"""What a model may hold beyond its weights file: states of random generators, counters."""


@dataclass(frozen=True, slots=True)
class Built:
    """A Keras model next to the graph that it was made from.

    `layers` has the Keras object of each layer, by name; `inner` the models inside of TimeDistributed, by id.
    """

    graph: Model
    model: keras.Model
    layers: dict[str, Built | keras.Layer]
    inner: dict[int, Built]


@contextmanager
def _deep_enough(frames: int) -> Iterator[None]:
    """Keras walks a model from its end by recursion, a few frames a layer; Python stops it at 1,000 frames."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, frames))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class Builder:
    """Builds one model; refuses it once its parameters or activations pass the limits, before they are allocated."""

    def __init__(self, limits: Limits, stored: int | None = None) -> None:
        """`stored`: how many numbers there are for the model's weights; no more are asked for than those."""
        self._limits = limits
        self._stored = stored
        self._left = limits.max_parameters if stored is None else min(stored + _SLACK, limits.max_parameters)
        self._inner: dict[int, Built] = {}
        self._names: set[str] = set()
        self._has_operations = False
        self._zeros = self._counting_zeros()

    def build(self, graph: Model) -> Built:
        """Build a model; every weight is zero until it is loaded."""
        import keras

        # Bidirectional copies its layer through the layer's config, which names these two.
        own = {"CountingZeros": type(self._zeros), "keras2_hard_sigmoid": keras2_hard_sigmoid}
        self._has_operations = channels.is_channels_first(graph) or _has_operations(graph)
        with keras.saving.custom_object_scope(own), _deep_enough(_FRAMES_PER_LAYER * self._limits.max_layers):
            try:
                return self._build(_of_one_input(graph))
            except RecursionError as error:
                raise ModelTooLargeError(f"model {graph.name!r} is too deep for Keras") from error

    def _build(self, graph: Model) -> Built:
        import keras

        layers: dict[str, Any] = {
            layer.name: self._layer(layer, graph.name) for layer in graph.layers if _is_object(layer)
        }
        made: dict[tuple[str, int], Tensors] = {}
        waiting = [(layer, number, call) for layer in graph.layers for number, call in enumerate(layer.calls)]
        for layer in graph.layers:
            if layer.kind == "InputLayer":
                made[layer.name, 0] = layers[layer.name].output
        while waiting:
            later = [step for step in waiting if not self._step(*step, layers, made)]
            if len(later) == len(waiting):
                raise ModelError(
                    f"the layers of {graph.name!r} call each other in a circle, from {waiting[0][0].name!r}"
                )
            waiting = later
        try:
            outputs = [_pick(made, tensor) for tensor in tensors_in(graph.outputs)]
            model = keras.Model(
                mapped(graph.inputs, lambda tensor: _pick(made, tensor)),
                outputs[0] if len(outputs) == 1 else outputs,
                name=self._name(graph.name),
            )
        except ValueError as error:  # inputs that no output needs are fine; outputs that no input reaches are not
            raise ModelError(f"model {graph.name!r} does not hold together: {error}") from error
        return Built(graph, model, layers, self._inner)

    def _step(
        self, layer: Layer, number: int, call: Call, layers: dict[str, Any], made: dict[tuple[str, int], Tensors]
    ) -> bool:
        """Do one call if all its tensors exist."""
        if any((tensor.layer, tensor.call) not in made for tensor in call.tensors()):
            return False
        target = layers.get(layer.name)
        run = _callable(layer, target)
        args = [_concrete(mapped(arg, lambda tensor: _pick(made, tensor))) for arg in call.args]
        kwargs = {name: _concrete(mapped(arg, lambda tensor: _pick(made, tensor))) for name, arg in call.kwargs.items()}
        try:
            result = run(*args, **kwargs)
        except (ModelError, MemoryError, RecursionError):
            raise
        except Exception as error:  # Keras raises whatever its layers raise
            raise ModelError(f"layer {layer.name!r} ({layer.kind}) can't be built: {error}") from error
        self._check_size(result, layer)
        made[layer.name, number] = result
        return True

    def _check_size(self, result: Tensors, layer: Layer) -> None:
        import keras

        for tensor in keras.tree.flatten(result):
            elements = prod(size or 1 for size in getattr(tensor, "shape", ()))
            if elements > self._limits.max_activation_elements:
                raise ModelTooLargeError(
                    f"layer {layer.name!r} ({layer.kind}) gives {elements:,} numbers a picture, "
                    f"more than {self._limits.max_activation_elements:,}"
                )

    def _layer(self, layer: Layer, graph: str) -> Built | keras.Layer:
        if layer.model is not None:
            return self._build(layer.model)
        try:
            return self._construct(layer)
        except (ModelError, MemoryError):
            raise
        except Exception as error:  # Keras raises ValueError, TypeError and others for options that don't fit
            raise ModelError(f"layer {layer.name!r} ({layer.kind}) of {graph!r} can't be made: {error}") from error

    def _construct(self, layer: Layer) -> keras.Layer:
        import keras

        if layer.model is not None:
            built = self._build(layer.model)
            self._inner[id(built.model)] = built
            return built.model
        if layer.kind in OURS:
            return own_layers.make(layer, self._name(layer.name), self._zeros)
        options = {name: self._option(value) for name, value in layer.options.items()}
        if channels.needs_help(layer):
            options["data_format"] = "channels_last"
        if layer.kind == "Pipeline":  # the one layer that takes no dtype: its layers have their own
            del options["dtype"]
        zeros = {name: self._zeros for name in LAYERS[layer.kind] if name.endswith("_initializer")}
        return getattr(keras.layers, layer.kind)(name=self._name(layer.name), **zeros, **options)

    def _name(self, written: str) -> str:
        """A name that Keras 3 and TensorFlow take ("/" and spaces are refused), unlike any before."""
        clean = re.sub(r"[^A-Za-z0-9_.-]", "_", written).lstrip("_.-")[:200] or "layer"
        if self._has_operations:  # Keras numbers operations by itself ("multiply_3") and refuses a layer of that name
            clean = f"{clean}.layer"
        name, number = clean, 1
        while name in self._names:
            name, number = f"{clean}_{number}", number + 1
        self._names.add(name)
        return name

    def _option(self, value: Value) -> Option:
        if isinstance(value, Layer):
            if channels.needs_help(value):
                raise ModelError(
                    f"layer {value.name!r} ({value.kind}): channels first inside of a wrapper is not supported"
                )
            return self._construct(value)
        if value == "keras2_hard_sigmoid":
            return keras2_hard_sigmoid
        return [self._option(item) for item in value] if isinstance(value, list) else value

    def _too_many(self) -> ModelError:
        most = self._limits.max_parameters
        if self._stored is not None and self._stored < most:
            return ModelError(f"weights: the file has {self._stored:,} numbers, the architecture asks for more")
        return ModelTooLargeError(f"the model asks for more than {most:,} parameters")

    def _counting_zeros(self) -> Initializer:
        """An initializer that gives zeros as long as the parameters asked for stay under the limit."""
        import keras

        builder = self

        class CountingZeros(keras.initializers.Initializer):  # type: ignore[misc]  # keras has no types
            def __call__(self, shape: tuple[int, ...], dtype: Option = None, **_: Option) -> Tensors:
                builder._left -= prod(shape)
                if builder._left < 0:
                    raise builder._too_many()
                return sharing.zeros(tuple(shape), keras.backend.standardize_dtype(dtype))

        return CountingZeros()


def _of_one_input(graph: Model) -> Model:
    """The same model; one that names its only input, or has it in a list, takes it plain."""
    inputs = list(tensors_in(graph.inputs))
    return replace(graph, inputs=inputs[0]) if len(inputs) == 1 else graph


def _callable(layer: Layer, target: Any) -> Callable[..., Tensors]:  # noqa: ANN401 - Keras has no types
    if target is None:
        return _operation(layer.kind)
    if isinstance(target, Built):
        target = target.model
    return channels.transposed(layer, target) if channels.needs_help(layer) else target


def _has_operations(graph: Model) -> bool:
    return any(
        not _is_object(layer) or (layer.model is not None and _has_operations(layer.model)) for layer in graph.layers
    )


def _is_object(layer: Layer) -> bool:
    return not layer.kind.startswith("ops.")


def _pick(made: dict[tuple[str, int], Tensors], tensor: Tensor) -> Tensors:
    result = made[tensor.layer, tensor.call]
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, list | tuple):
        if tensor.index >= len(result):
            raise ModelError(f"output {tensor.index} of layer {tensor.layer!r} is used, which has {len(result)}")
        return result[tensor.index]
    if tensor.index != 0:
        raise ModelError(f"output {tensor.index} of layer {tensor.layer!r} is used, which has 1")
    return result


def _concrete(value: Option) -> Option:
    """Slices, ellipses and arrays as Python's and numpy's own."""
    if isinstance(value, Slice):
        return slice(_concrete(value.start), _concrete(value.stop), _concrete(value.step))
    if isinstance(value, Ellipsis_):
        return ...
    if isinstance(value, Array):
        import numpy as np

        return np.asarray(value.values, value.dtype)
    if isinstance(value, list):
        return [_concrete(item) for item in value]
    return value


def _operation(kind: str) -> Callable[..., Any]:
    import keras

    name = kind.removeprefix("ops.")
    if name == "getitem":
        return lambda x, key: x[tuple(key) if isinstance(key, list) else key]
    if name == "l2_normalize":
        return own_layers.l2_normalize
    if name == "per_image_standardization":
        return own_layers.per_image_standardization
    if name == "grayscale_to_rgb":
        return lambda x: keras.ops.repeat(x, 3, axis=-1)
    if name == "exact_gelu":  # TensorFlow's default; keras.ops.gelu's is the approximation
        return lambda x, approximate=False: keras.ops.gelu(x, approximate=approximate)
    if name == "einsum":  # Keras writes what it was made with, as `subscripts`; the function takes that first
        return lambda *operands, subscripts: keras.ops.einsum(subscripts, *operands)
    found: Any = keras.ops
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]
