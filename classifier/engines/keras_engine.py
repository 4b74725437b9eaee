"""The reference engine: the Keras model rebuilt from JSON and weights, run as one traced TensorFlow function."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier import function_memory, garbage, model_memory
from classifier.arrays import floats
from classifier.bootstrap import dependencies
from classifier.bootstrap.archive import PackError
from classifier.bundles.serving import ModelShape, parse_serving
from classifier.engines.engine import Loaded
from classifier.errors import ClassifierError, ModelError, UnavailableError
from classifier.phases import Phases

if TYPE_CHECKING:
    from array import array
    from collections.abc import Buffer, Callable, Iterator
    from mmap import mmap

    from classifier.bundles.reader import Bundle
    from classifier.bundles.serving import Serving
    from classifier.keras_json.architecture import Architecture

TENSORFLOW_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN reorders sums: scores would differ between machines
}
_LIBRARY = "tensorflow.python._pywrap_tensorflow_internal"


class KerasEngine:
    """A Keras model as a traced function of fixed input shape, four times faster than `model.predict`."""

    name = "tensorflow"

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self._call = call

    def predict(self, picture: Buffer) -> array[float]:
        """The model's output, flat float32, for a picture of shape (1, height, width, channels)."""
        import numpy as np

        return floats(np.ascontiguousarray(self._call(np.asarray(picture)), np.float32))


def open_keras(bundle: Bundle, memory: int = 0) -> Loaded:
    """Build the bundle's model, load its weights, trace it and answer once; ModelError if the bundle is at fault.

    ModelTooLargeError if a function of `memory` bytes (0: any) would not have enough.
    """
    phases = Phases()
    model = load(bundle, phases, model_memory.Room(model_memory.TENSORFLOW, memory))
    with _blaming_the_bundle(), phases.measure("first"):
        model.answer_once()
    return Loaded(KerasEngine(model.call), model.serving, phases.timings_ms)


@dataclass(frozen=True, slots=True)
class TracedModel:
    """A bundle's model, traced for one picture; `module` keeps its variables, as conversion needs them."""

    call: Callable[[Any], Any]
    module: Any
    serving: Serving
    shape: ModelShape
    largest_layer: int = 0
    """Bytes of the largest output of a layer, for one picture."""

    def answer_once(self) -> None:
        """Run the model on a black picture; ModelError unless it answers with finite numbers."""
        import numpy as np

        raw = np.asarray(self.call(np.zeros(self.serving.preprocessing.shape, np.float32)))
        if raw.size != self.shape.units or not np.isfinite(raw).all():
            raise ModelError(f"the model answers a black picture with {raw.size} numbers, not all of them finite")

    def empty(self) -> None:
        """Give the memory of its variables back, at once and for good; nothing can be asked of it any more."""
        import tensorflow as tf

        for variable in self.module.variables_kept:
            nothing = tf.zeros([0], variable.dtype)
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=nothing, validate_shape=False)
        function_memory.give_back()


def load(bundle: Bundle, phases: Phases, room: model_memory.Room = model_memory.ANY) -> TracedModel:
    """Rebuild the bundle's model from JSON and weights; ModelError if the bundle is at fault.

    ModelTooLargeError if there is no `room`: the file's size says neither what is packed in it nor what layers put out.
    """
    from classifier.keras_json.architecture import read_architecture

    architecture = read_architecture(bundle.parts["architecture"])
    channels_first = _check_input(architecture)
    try:
        phases.timings_ms |= dependencies.ensure_tensorflow()
    except PackError as error:
        raise UnavailableError(str(error)) from error
    with phases.measure("import"):
        _import_keras()
    with _blaming_the_bundle():
        with phases.measure("build"):
            model = _build(architecture, bundle.weights, room.for_weights)
        shape = _shape(architecture, model, channels_first=channels_first)
        serving = parse_serving(bundle.parts.get("serving"), bundle.parts.get("labels"), shape)
        with phases.measure("trace"):
            call, module = _traced(model, serving.preprocessing.shape, channels_first=channels_first)
        largest = _largest_layer(module.serve.get_concrete_function())
        room.for_layers(
            sum(variable.dtype.size * variable.shape.num_elements() for variable in module.variables_kept), largest
        )
    return TracedModel(call, module, serving, shape, largest)


def _largest_layer(concrete: Any) -> int:  # noqa: ANN401 - TensorFlow's types
    """Bytes of the largest tensor that is computed; weights are read, not computed."""
    tensors = [
        tensor
        for operation in concrete.graph.get_operations()
        if operation.type not in ("ReadVariableOp", "Const", "Identity")
        for tensor in operation.outputs
        if tensor.dtype.is_floating
    ]
    return max((tensor.dtype.size * (tensor.shape.num_elements() or 0) for tensor in tensors), default=0)


def _check_input(architecture: Architecture) -> bool:
    """Whether channels come first; ModelError if the model is no classifier: one picture in, one row of scores out."""
    shapes = architecture.input_shapes
    if len(shapes) != 1 or architecture.outputs != 1:
        raise ModelError(f"the model has {len(shapes)} inputs and {architecture.outputs} outputs, expected one of each")
    shape = shapes[0]
    if len(shape) == 3:
        for channels in ((1, 3), (4,)):  # a width of 4 is rare, but so are four channels
            if shape[2] in channels or shape[0] in channels:
                return shape[2] not in channels
    raise ModelError(f"the model's input is {shape}, expected a picture: (height, width, 1, 3 or 4 channels)")


def _shape(architecture: Architecture, model: Any, *, channels_first: bool) -> ModelShape:  # noqa: ANN401
    """The classifier's input and output, as far as they are fixed."""
    shape = architecture.input_shapes[0]
    channels, height, width = shape if channels_first else (shape[2], *shape[:2])
    units = [size for size in model.output_shape[1:] if size != 1] or [1]
    if len(units) != 1 or units[0] is None:
        raise ModelError(f"the model's output is {model.output_shape[1:]}, expected one row of scores")
    return ModelShape(height, width, channels or 0, units[0], architecture.activation)


@contextmanager
def _blaming_the_bundle() -> Iterator[None]:
    """Whatever Keras and TensorFlow raise over a model, in their many ways, is that model's fault."""
    try:
        yield
    except ClassifierError:
        raise
    except Exception as error:
        raise ModelError(f"Keras can't run the model: {type(error).__name__}: {error}") from error


def _import_keras() -> None:
    for name, value in TENSORFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from classifier.bootstrap import pages

    with pages.given_back_after(_LIBRARY), garbage.left_alone():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401


def _build(architecture: Architecture, weights: bytes | mmap, check: Callable[[int], None]) -> Any:  # noqa: ANN401
    from classifier.keras_weights.loading import load_model

    return load_model(architecture, weights, check)


def _traced(model: Any, shape: tuple[int, ...], *, channels_first: bool) -> tuple[Callable[[Any], Any], Any]:  # noqa: ANN401
    import tensorflow as tf

    module = tf.Module()  # a concrete function alone loses its variables in conversion: every score would be NaN
    module.model = model
    module.variables_kept = [variable.value for variable in model.variables]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])  # type: ignore[untyped-decorator]
    def serve(picture: Any) -> Any:  # noqa: ANN401 - TensorFlow's tensors
        return model(tf.transpose(picture, (0, 3, 1, 2)) if channels_first else picture, training=False)

    module.serve = serve
    concrete = serve.get_concrete_function()
    return lambda picture: concrete(tf.constant(picture)), module
