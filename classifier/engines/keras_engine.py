"""The reference engine: the Keras model rebuilt from JSON and weights, run as one traced TensorFlow function."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from copy import replace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier import function_memory, garbage, logs, model_memory
from classifier.arrays import floats
from classifier.bootstrap import dependencies
from classifier.bootstrap.archive import PackError
from classifier.bundles.serving import (
    ModelShape,
    OutputShape,
    parse_preprocessing,
    parse_serving,
    served_outputs,
    stated_outputs,
)
from classifier.engines import probes
from classifier.engines.engine import Loaded
from classifier.engines.output_kind import contradictions, judged
from classifier.errors import ClassifierError, ModelError, UnavailableError
from classifier.phases import Phases
from classifier.pictures.preprocessing import CHANNELS

if TYPE_CHECKING:
    from array import array
    from collections.abc import Buffer, Callable, Iterator, Sequence
    from mmap import mmap

    from classifier.bundles.reader import Bundle
    from classifier.bundles.serving import Serving
    from classifier.keras_json.architecture import Architecture
    from classifier.pictures.preprocessing import Preprocessing

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
    """A bundle's model, traced for one picture; `module` keeps its variables, as conversion needs them.

    It gives the numbers of all served outputs in one row, in the order of `serving.heads`.
    """

    call: Callable[[Any], Any]
    module: Any
    serving: Serving
    shape: ModelShape
    outputs: tuple[int, ...] = (0,)
    """Which of the model's outputs those are."""
    largest_layer: int = 0
    """Bytes of the largest output of a layer, for one picture."""

    def answer_once(self) -> None:
        """Run the model; ModelError unless it answers some probe with as many finite numbers as it should.

        A model that divides by its picture's deviation has no answer for a black one, so others are tried then.
        """
        import numpy as np

        engine = KerasEngine(self.call)
        for probe in probes.generated(self.serving.preprocessing):
            raw = np.asarray(engine.predict(probe))
            if np.isfinite(raw).all():
                break
        if raw.size != self.shape.units or not np.isfinite(raw).all():
            raise ModelError(f"the model answers a plain picture with {raw.size} numbers, not all of them finite")
        for against in contradictions(self.serving.heads, raw[None]):
            logs.emit("warning", f"what the model's numbers are said to be looks wrong: {against}")

    def empty(self) -> None:
        """Give the memory of its variables back, at once and for good; nothing can be asked of it any more."""
        import tensorflow as tf

        for variable in self.module.variables_kept:
            nothing = tf.zeros([0], variable.dtype)
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=nothing, validate_shape=False)
        function_memory.give_back()


def unpack_tensorflow(phases: Phases) -> None:
    """Make TensorFlow importable, and import nothing; UnavailableError if that fails for now."""
    try:
        phases.timings_ms |= dependencies.ensure_tensorflow()
    except PackError as error:
        raise UnavailableError(str(error)) from error


def load(bundle: Bundle, phases: Phases, room: model_memory.Room = model_memory.ANY) -> TracedModel:
    """Rebuild the bundle's model from JSON and weights; ModelError if the bundle is at fault.

    What its numbers are is probed where neither serving.json nor the last layer says it. ModelTooLargeError if there is
    no `room`: the file's size says neither what is packed in it nor what layers put out.
    """
    from classifier.keras_json.architecture import read_architecture
    from classifier.keras_json.resizing import leave_resizing_to_us

    architecture = read_architecture(bundle.parts["architecture"])
    _check_input(architecture)
    given = bundle.parts.get("serving")
    outputs = [OutputShape(each.name, 0, each.activation, each.loss) for each in architecture.outputs]
    served = served_outputs(given, outputs)
    indices = [outputs.index(replace(each, name=each.name or outputs[0].name)) for each in served]
    unpack_tensorflow(phases)
    with phases.measure("import"):
        _import_keras()
    with _blaming_the_bundle():
        with phases.measure("build"):
            model = _build(architecture, bundle.weights, room.for_weights)
        sizes = [_units(model, index) for index in indices]
        served = tuple(replace(each, units=size) for each, size in zip(served, sizes, strict=True))
        shape = _shape(architecture, served)
        preprocessing = parse_preprocessing(given, shape)
        if preprocessing.own:
            leave_resizing_to_us(model, architecture.graph)
        with phases.measure("trace"):
            own = own_shape(architecture, preprocessing)
            call, module = traced(model, preprocessing.shape, own, indices, resized=preprocessing.own)
        largest = _largest_layer(module.serve.get_concrete_function())
        room.for_layers(
            sum(variable.dtype.size * variable.shape.num_elements() for variable in module.variables_kept), largest
        )
        if not _is_told(shape, given):
            with phases.measure("probe"):
                shape = _probed(call, shape, preprocessing, given)
        serving = parse_serving(given, bundle.parts.get("labels"), shape)
    return TracedModel(call, module, serving, shape, tuple(indices), largest)


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


def _check_input(architecture: Architecture) -> None:
    """ModelError unless the model takes one picture: (height, width, channels), (height, width), or its numbers."""
    shapes = architecture.input_shapes
    if len(shapes) != 1:
        raise ModelError(f"the model has {len(shapes)} inputs, expected one picture")
    shape = shapes[0]
    if len(shape) == 3 and any(axis in CHANNELS.values() for axis in (shape[0], shape[2])):
        return
    if len(shape) == 2 or (len(shape) == 1 and shape[0] is not None):
        return
    raise ModelError(
        f"the model's input is {shape}, expected a picture: (height, width, 1, 3 or 4 channels), (height, width) or "
        "(height x width,)"
    )


def _is_channels_first(shape: Sequence[int | None]) -> bool:
    # A width of 4 is rare, but so are four channels.
    return next((shape[2] not in some for some in ((1, 3), (4,)) if shape[2] in some or shape[0] in some), False)


def _shape(architecture: Architecture, outputs: Sequence[OutputShape]) -> ModelShape:
    """The classifier's input and output, as far as they are fixed."""
    from classifier.keras_json.resizing import own_resizing

    own = architecture.input_shapes[0]
    height, width, channels = (*own, None, None, None)[:3]
    row: tuple[int | None, ...] | None = None
    if len(own) == 3:
        channels, height, width = own if _is_channels_first(own) else (own[2], own[0], own[1])
    elif len(own) == 2:
        channels, row = 1, own
    else:
        height, width, row = None, None, own
    units = sum(each.units for each in outputs)
    resizes = own_resizing(architecture.graph) if row is None and height is None and width is None else None
    return ModelShape(height, width, channels or 0, units, outputs[0].activation, row, tuple(outputs), resizes)


def own_shape(architecture: Architecture, preprocessing: Preprocessing) -> tuple[int, ...]:
    """The shape in which the model takes one picture: its batch of one, then what the architecture says."""
    own = architecture.input_shapes[0]
    height, width, channels = preprocessing.shape[1:]
    if len(own) == 1:
        return (1, height * width * channels)
    if len(own) == 2:
        return (1, height, width)
    return (1, channels, height, width) if _is_channels_first(own) else (1, height, width, channels)


def _units(model: Any, index: int) -> int:  # noqa: ANN401 - a keras.Model, which has no types
    """How many numbers an output has."""
    shape = model.outputs[index].shape[1:]
    units = [size for size in shape if size != 1] or [1]
    if len(units) != 1 or units[0] is None:
        raise ModelError(f"the model's output is {tuple(shape)}, expected one row of scores")
    return int(units[0])


def _is_told(shape: ModelShape, given: bytes | None) -> bool:
    """Whether serving.json or the last layer says of each output what its numbers are."""
    stated = stated_outputs(given)
    return all(stated.get(each.name) or each.activation in ("softmax", "sigmoid") for each in shape.heads)


def _probed(
    call: Callable[[Any], Any], shape: ModelShape, preprocessing: Preprocessing, given: bytes | None
) -> ModelShape:
    rows = probes.answers(KerasEngine(call).predict, probes.probe_arrays(preprocessing, []))
    return judged(shape, rows, stated_outputs(given))


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
    if "tensorflow" in sys.modules and "keras" in sys.modules:
        return  # freezing once more would keep for ever what is garbage by now: the model before
    from classifier.bootstrap import pages

    with pages.given_back_after(_LIBRARY), garbage.left_alone():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401


def _build(architecture: Architecture, weights: bytes | mmap, check: Callable[[int], None]) -> Any:  # noqa: ANN401
    from classifier.keras_weights.loading import load_model

    return load_model(architecture, weights, check)


def traced(
    model: Any,  # noqa: ANN401
    shape: tuple[int, ...],
    own: tuple[int, ...],
    outputs: Sequence[int],
    *,
    resized: bool = False,
) -> tuple[Callable[[Any], Any], Any]:
    """A function of a picture of this shape, which the model takes as `own`, to the numbers of these outputs.

    A model that takes whole numbers and is `resized` for gets them rounded, as its own layer would round.
    """
    import tensorflow as tf

    module = tf.Module()  # a concrete function alone loses its variables in conversion: every score would be NaN
    module.model = model
    module.variables_kept = [variable.value for variable in model.variables]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])  # type: ignore[untyped-decorator]
    def serve(picture: Any) -> Any:  # noqa: ANN401 - TensorFlow's tensors
        if len(own) < 4:
            picture = tf.reshape(picture, own)
        elif own != shape:
            picture = tf.transpose(picture, (0, 3, 1, 2))
        if resized and "int" in str(model.inputs[0].dtype):
            picture = tf.clip_by_value(tf.round(picture), 0.0, 255.0)
        found = model(picture, training=False)
        found = found if isinstance(found, list | tuple) else [found]
        rows = [tf.reshape(tf.cast(found[index], tf.float32), (1, -1)) for index in outputs]
        return rows[0] if len(rows) == 1 else tf.concat(rows, 1)

    module.serve = serve
    concrete = serve.get_concrete_function()
    return lambda picture: concrete(tf.constant(picture)), module
