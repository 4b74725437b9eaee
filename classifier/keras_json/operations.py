"""Operations that a model applies to tensors without a layer: `x * 2`, `keras.ops.mean(x)`, `tf.nn.relu6(x)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from classifier.errors import ModelError, ModelNotAllowedError
from classifier.keras_json import calls as calls_
from classifier.keras_json import tensorflow_ops, values
from classifier.keras_json.graph import Call, Layer
from classifier.keras_json.words import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.documents import Json

_LOWERED = words("""
    Abs Absolute Add All Any Argmax Argmin Average Ceil Clip Concatenate Cos Cumsum Divide Dot Einsum Elu Equal Erf Exp
    Expm1 Flip Floor Gelu Glu Greater Less Log Log10 Log1p Log2 Logsumexp Matmul Max Maximum Mean Median Min Minimum Mod
    Moveaxis Multiply Negative Norm Normalize Pad Power Prod Ravel Reciprocal Relu Relu6 Repeat Reshape Roll Round Rsqrt
    Selu Sigmoid Sign Silu Sin Softmax Softplus Softsign Split Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes
    Take Tan Tanh Tensordot Tile Transpose Var Where Cast Celu Squareplus Sparsemax
""")
# Class in keras.src.ops -> function in keras.ops. Arithmetic, shapes and pictures; nothing takes a function or a file.
_OPERATIONS: Final[dict[str, str]] = {
    **{name: name.lower() for name in _LOWERED},
    "Amax": "amax",
    "Amin": "amin",
    "AveragePool": "average_pool",
    "BroadcastTo": "broadcast_to",
    "CropImages": "image.crop_images",
    "DepthToSpace": "depth_to_space",
    "DivideNoNan": "divide_no_nan",
    "ExpandDims": "expand_dims",
    "ExtractPatches": "image.extract_patches",
    "FloorDivide": "floor_divide",
    "GetItem": "getitem",
    "GreaterEqual": "greater_equal",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "LeakyRelu": "leaky_relu",
    "LessEqual": "less_equal",
    "LogSigmoid": "log_sigmoid",
    "LogSoftmax": "log_softmax",
    "LogicalAnd": "logical_and",
    "LogicalNot": "logical_not",
    "LogicalOr": "logical_or",
    "MaxPool": "max_pool",
    "NanToNum": "nan_to_num",
    "NotEqual": "not_equal",
    "OneHot": "one_hot",
    "OnesLike": "ones_like",
    "PadImages": "image.pad_images",
    "RGBToGrayscale": "image.rgb_to_grayscale",
    "Resize": "image.resize",
    "SpaceToDepth": "space_to_depth",
    "StopGradient": "stop_gradient",
    "TopK": "top_k",
    "TrueDivide": "true_divide",
    "ZerosLike": "zeros_like",
}


_TENSORFLOW: Final = frozenset({"TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer"})


def is_operation(entry: Mapping[str, Json], kind: str, *, keras_2: bool) -> bool:
    """Whether an entry of "layers" is an operation rather than a layer.

    Keras 3 names no module in HDF5 files, so there `Add` may be the layer or the operation: only a layer's config says
    whether it is trainable (layers/layer.py of 3.x, get_config).
    """
    module, config = entry.get("module"), entry.get("config")
    if kind in _TENSORFLOW or (isinstance(module, str) and module.startswith("keras.src.ops.")):
        return True
    by_name = module is None and not keras_2 and kind in _OPERATIONS
    return by_name and isinstance(config, dict) and "trainable" not in config


def read(entry: Mapping[str, Json], name: str, place: str) -> Layer:
    """Read an operation as a Layer of the kind `ops.<function>`."""
    values.check_origin(entry, place)
    kind, config = str(entry.get("class_name")), entry.get("config")
    if not isinstance(config, dict):
        raise ModelError(f"{place}: it has no config")
    made = calls_.read_any(entry.get("inbound_nodes"), kind, place)
    if kind in _TENSORFLOW:
        return _tensorflow(kind, name, config, made, place)
    if kind not in _OPERATIONS:
        raise ModelNotAllowedError(f"{place}: {kind[:80]!r} is not on the list of allowed operations")
    fixed = {key: calls_.value(item, place) for key, item in config.items() if key != "name"}
    if "dtype" in fixed:
        fixed["dtype"] = values.dtype(config["dtype"], place)
    made = tuple(Call(call.args, {**fixed, **call.kwargs}) for call in made)
    return Layer(name, f"ops.{_OPERATIONS[kind]}", {}, made, kind)


def _tensorflow(kind: str, name: str, config: Mapping[str, Json], made: tuple[Call, ...], place: str) -> Layer:
    if kind == "TensorFlowOpLayer":
        found = [tensorflow_ops.node_call(config, call, place) for call in made]
    else:
        function = str(config.get("function", "__operators__.getitem" if kind == "SlicingOpLambda" else None))
        found = [tensorflow_ops.function_call(function, call, place) for call in made]
    if not found:
        raise ModelNotAllowedError(f"{place}: it is never called, so it can't be told what it would do")
    return Layer(name, f"ops.{found[0][0]}", {}, tuple(call for _, call in found), kind)
