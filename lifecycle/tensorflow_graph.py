"""TensorFlow graphs as functions: one signature of a SavedModel, or what lies between two tensors of a GraphDef."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from classifier.bundles.serving import ModelShape
from classifier.pictures.preprocessing import CHANNELS
from lifecycle import graph_def
from lifecycle.errors import ModelsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lifecycle.source import GraphSource

type Call = Callable[[Any], Any]
SIGNATURE = "serving_default"


def load(source: GraphSource) -> tuple[Call, ModelShape]:
    """The graph with constants for variables, which takes pictures (1, height, width, channels) of float32.

    ModelsError where it takes or gives something else, or can't be loaded; UsageError where a name isn't there.
    """
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # else it advises against what old files need
    return _load_graph_def(source) if source.kind == "GraphDef" else _load_saved_model(source)


def _load_saved_model(source: GraphSource) -> tuple[Call, ModelShape]:
    """One signature of a SavedModel, its variables made constants."""
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(source.path))
    except Exception:  # noqa: BLE001 - it refuses what Keras 1.15 to 2.8 saved with an optimizer (`add_slot`), in many ways
        return _load_as_tensorflow_1(source)
    if not hasattr(loaded, "signatures"):
        return _load_as_tensorflow_1(source)
    signature, output = _signature(dict(loaded.signatures), source)
    given, results = signature.structured_input_signature[1], signature.structured_outputs
    _only(given, source)
    result = _only(results, source, output)
    # The results are in the order of their names.
    return _frozen(signature, next(iter(given)), sorted(results).index(result))


def _load_as_tensorflow_1(source: GraphSource) -> tuple[Call, ModelShape]:
    """TensorFlow 1's way, which on the other hand finds no variables where an object other than Keras's holds them."""
    import tensorflow as tf

    with (
        tf.Graph().as_default(),
        tf.compat.v1.Session() as session,
    ):
        try:
            found = tf.compat.v1.saved_model.load(session, ["serve"], str(source.path))
            signature, output = _signature(dict(found.signature_def), source)
            given = signature.inputs[_only(signature.inputs, source)].name
            result = signature.outputs[_only(signature.outputs, source, output)].name
            graph = tf.compat.v1.graph_util.convert_variables_to_constants(
                session, session.graph.as_graph_def(add_shapes=True), [result.split(":")[0]]
            )
        except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            raise ModelsError(f"refused: TensorFlow can't load {source.path}: {first_line(error)}") from error
    return _pruned(graph, given, result)


def _signature(signatures: dict[str, Any], source: GraphSource) -> tuple[Any, str]:
    """The signature that `--output` names, and which of its results, empty if it names none: `signature[:result]`."""
    name, _, output = (source.output or SIGNATURE).partition(":")
    if name not in signatures and not output and name in _results(signatures.get(SIGNATURE)):
        name, output = SIGNATURE, name  # a result of the one signature that everybody has
    if name not in signatures:
        there = ", ".join(sorted(found for found in signatures if not found.startswith("__"))) or "none at all"
        raise UsageError(f"{source.path} has no signature {name!r}, but {there} (--output)")
    return signatures[name], output


def _results(signature: Any) -> Mapping[str, Any]:  # noqa: ANN401 - TensorFlow 2's function or 1's SignatureDef
    return getattr(signature, "structured_outputs", None) or getattr(signature, "outputs", None) or {}


def _only(tensors: Mapping[str, Any], source: GraphSource, wanted: str = "") -> str:
    """The name of the one tensor, or of the one that is wanted."""
    names = sorted(tensors)
    if wanted in names:
        return wanted
    if wanted or len(names) != 1:
        raise ModelsError(
            f"refused: signature {source.output or SIGNATURE!r} has {len(names)} tensors ({', '.join(names)}), a "
            f"classifier has one; of several results name one as --output signature:result"
        )
    return names[0]


def _load_graph_def(source: GraphSource) -> tuple[Call, ModelShape]:
    return _pruned(graph_def.read(source.path), _tensor(source.input), _tensor(source.output))


def _tensor(name: str | None) -> str:
    """A tensor's name; an operation's stands for its first output."""
    return name if name and ":" in name else f"{name}:0"


def _pruned(graph: Any, given: str, result: str) -> tuple[Call, ModelShape]:  # noqa: ANN401 - a GraphDef
    """The part of the graph between two tensors as a function, and what it takes and gives."""
    import tensorflow as tf

    try:
        whole = tf.compat.v1.wrap_function(
            lambda: tf.import_graph_def(graph, name="", input_map=graph_def.not_training(graph)), []
        )
        pruned = whole.prune(whole.graph.get_tensor_by_name(given), whole.graph.get_tensor_by_name(result))
    except (KeyError, ValueError, TypeError, tf.errors.OpError) as error:
        raise ModelsError(f"refused: {given} to {result} can't be cut out of the graph: {first_line(error)}") from error
    return _frozen(pruned, given)


def _frozen(function: Any, given: str, index: int = 0) -> tuple[Call, ModelShape]:  # noqa: ANN401 - a concrete function
    """The function with constants for variables, giving its result of this index, and what it takes and gives."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shape, dtype = function.inputs[0].shape, function.inputs[0].dtype
    if dtype == tf.string:
        raise ModelsError(
            f"refused: {given} is {dtype.name} of shape {shape}, expected pictures as numbers. It decodes pictures "
            "itself: give what comes after that as --input."
        )
    if not (dtype.is_floating or dtype.is_integer) or (shape.rank is not None and not 2 <= shape.rank <= 4):
        raise ModelsError(f"refused: {given} is {dtype.name} of shape {shape}, expected pictures: rank 4, 3 or 2")
    result = function.outputs[index]
    if not result.dtype.is_floating:
        raise ModelsError(f"refused: {result.name} is {result.dtype.name}, a classifier gives scores")
    try:
        # Inlined: functions within functions, named as Keras 3 does, are a circle to TensorFlow Lite's converter.
        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
    except (KeyError, ValueError, tf.errors.OpError) as error:
        raise ModelsError(f"refused: the graph from {given} can't be frozen: {first_line(error)}") from error
    sizes = shape.as_list() if shape.rank else [None] * 4
    first = len(sizes) == 4 and _is_channels_first(sizes)
    batch = sizes[0] or 1

    def call(picture: Any) -> Any:  # noqa: ANN401 - TensorFlow's tensors
        """The result for one picture, however large the batch is that the graph insists on."""
        picture = tf.transpose(picture, (0, 3, 1, 2)) if first else picture
        if len(sizes) < 4:
            own = tuple(picture.shape[1:3]) if len(sizes) == 3 else (-1,)
            picture = tf.reshape(picture, (1, *own))
        if dtype.is_integer:
            picture = tf.round(picture)
        found = frozen(tf.repeat(tf.cast(picture, dtype), batch, 0))
        return tf.nest.flatten(found)[index][:1]

    if len(sizes) == 2:
        units = _units(call, result.shape, (1, 1, sizes[1] or 1, 1))
        return call, ModelShape(None, None, 0, units, None, (sizes[1],))
    if len(sizes) == 3:
        units = _units(call, result.shape, (1, sizes[1] or 224, sizes[2] or 224, 1))
        return call, ModelShape(sizes[1], sizes[2], 1, units, None, (sizes[1], sizes[2]))
    height, width, channels = (sizes[2], sizes[3], sizes[1]) if first else (sizes[1], sizes[2], sizes[3])
    example = (1, height or 224, width or 224, channels or 3)
    return call, ModelShape(height, width, channels or 3, _units(call, result.shape, example), None)


def _is_channels_first(sizes: list[int | None]) -> bool:
    known = CHANNELS.values()
    return sizes[1] in known and sizes[3] is not None and sizes[3] not in known


def _units(call: Call, shape: Any, example: tuple[int, ...]) -> int:  # noqa: ANN401 - a TensorShape
    """How many scores it gives; asked of the graph itself, of a black picture, where its shapes don't tell."""
    import numpy as np
    import tensorflow as tf

    known = shape.as_list() if shape.rank else [None]
    if None in known[1:] or len(known) < 2:
        try:
            known = list(call(tf.constant(np.zeros(example, np.float32))).shape)
        except (tf.errors.OpError, ValueError) as error:
            raise ModelsError(f"refused: the graph can't be run: {first_line(error)}") from error
    units = math.prod(known[1:])
    if max(known[1:], default=1) != units:
        raise ModelsError(f"refused: it gives {known[1:]} numbers a picture, a classifier gives one row of scores")
    return units


def first_line(error: Exception) -> str:
    """What TensorFlow says, without its graphs and stacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("Graph execution error", "Detected at", "Node:", "File "))]
    return (said or lines or [type(error).__name__])[0][:300]
