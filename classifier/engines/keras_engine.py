"""The reference engine: the Keras model rebuilt from JSON and weights, run as one traced TensorFlow function."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from classifier.engines import Loaded
from classifier.errors import ClassifierError, ModelError
from classifier.phases import Phases
from classifier.serving import ModelShape, parse_serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from classifier.bundle_reader import Bundle
    from classifier.keras_json import Architecture

TENSORFLOW_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN reorders sums: scores would differ between machines
}


class KerasEngine:
    """A Keras model as a traced function of fixed input shape, four times faster than `model.predict`."""

    name = "tensorflow"

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self._call = call

    def predict(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """The model's output, float32 of shape (units,), for a picture of shape (1, height, width, channels)."""
        import numpy as np

        return np.asarray(self._call(picture), np.float32).reshape(-1)


def open_keras(bundle: Bundle) -> Loaded:
    """Build the bundle's model, load its weights, trace it and answer once; ModelError if the bundle is at fault."""
    from classifier import keras_json

    phases = Phases()
    architecture = keras_json.read_architecture(bundle.parts["architecture"])
    shape = model_shape(architecture)
    serving = parse_serving(bundle.parts.get("serving"), bundle.parts.get("labels"), shape)
    with phases.measure("import"):
        _import_keras()
    with _blaming_the_bundle():
        with phases.measure("build"):
            model = _build(architecture, bundle.parts["weights"])
        with phases.measure("trace"):
            engine = KerasEngine(_traced(model, serving.preprocessing.size, shape.channels))
        with phases.measure("first"):
            _answer_once(engine, serving.preprocessing.size, shape)
    return Loaded(engine, serving, phases.timings_ms)


def model_shape(architecture: Architecture) -> ModelShape:
    """Input and output of a classifier; ModelError if the model is none: one picture in, one row of scores out."""
    if architecture.inputs != 1 or architecture.outputs != 1:
        raise ModelError(
            f"the model has {architecture.inputs} inputs and {architecture.outputs} outputs, expected one of each"
        )
    shape = architecture.input_shape
    if shape is None or len(shape) != 3 or shape[2] not in (1, 3):
        raise ModelError(f"the model's input is {shape}, expected (height, width, 1 or 3)")
    height, width, channels = shape
    return ModelShape(height, width, channels, architecture.units, architecture.activation)


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
    import keras  # noqa: F401
    import tensorflow  # noqa: F401


def _build(architecture: Architecture, weights: bytes) -> Any:  # noqa: ANN401 - a keras.Model, which has no types
    from classifier import keras_weights

    model = architecture.build()
    keras_weights.load(model, weights)
    return model


def _traced(model: Any, size: tuple[int, int], channels: int) -> Callable[[Any], Any]:  # noqa: ANN401
    import tensorflow as tf

    signature = tf.TensorSpec((1, *size, channels), tf.float32)
    function = tf.function(lambda picture: model(picture, training=False), input_signature=[signature])
    concrete: Callable[[Any], Any] = function.get_concrete_function()
    return lambda picture: concrete(tf.constant(picture))


def _answer_once(engine: KerasEngine, size: tuple[int, int], shape: ModelShape) -> None:
    import numpy as np

    raw = engine.predict(np.zeros((1, *size, shape.channels), np.float32))
    if raw.shape != (shape.units,):
        raise ModelError(f"the model answers with {raw.shape[0]} numbers, its architecture says {shape.units}")
    if not np.isfinite(raw).all():
        raise ModelError("the model answers a black picture with numbers that are not finite")
