"""TensorFlow functions that tf.keras models hold as layers, as operations of keras.ops.

TFOpLambda and SlicingOpLambda (tf.keras 2.4-2.15) name a Python function of `tf`; TensorFlowOpLayer (1.15-2.3) holds a
graph node. Only what the two tables name is mapped; their arguments are spelled out, and any other must be inert.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from classifier.errors import ModelError, ModelNotAllowedError
from classifier.keras_json.calls import replace_numbers
from classifier.keras_json.graph import Array, Call, Slice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.documents import Json
    from classifier.keras_json.graph import Value

type Target = tuple[str, str]  # function in keras.ops, "parameter in TensorFlow=parameter there" in TensorFlow's order

_BINARY = "x=x1 y=x2"
_REDUCE = "input_tensor=x axis keepdims"
FUNCTIONS: Final[dict[str, Target]] = {
    **{f"math.{name}": (name, _BINARY) for name in ("add", "subtract", "multiply", "maximum", "minimum")},
    **{f"math.{name}": (name, _BINARY) for name in ("greater", "greater_equal", "less", "less_equal", "equal")},
    **{f"__operators__.{name}": (name, _BINARY) for name in ("add",)},
    **{f"math.{name}": (name, "x") for name in ("abs", "sqrt", "square", "exp", "log", "log1p", "rsqrt", "sin", "cos")},
    **{
        f"math.{name}": (name, "x")
        for name in ("negative", "sign", "floor", "ceil", "erf", "reciprocal", "tanh", "sigmoid")
    },
    **{f"math.reduce_{name}": (name, _REDUCE) for name in ("mean", "sum", "max", "min", "prod", "std")},
    **{
        f"nn.{name}": (name, "features=x")
        for name in ("relu", "relu6", "elu", "selu", "silu", "swish", "softplus", "softsign")
    },
    "nn.swish": ("silu", "features=x"),
    "math.truediv": ("true_divide", _BINARY),
    "math.divide": ("true_divide", _BINARY),
    "math.divide_no_nan": ("divide_no_nan", _BINARY),
    "math.pow": ("power", _BINARY),
    "math.floormod": ("mod", _BINARY),
    "math.softplus": ("softplus", "features=x"),
    "math.reduce_variance": ("var", _REDUCE),
    "math.l2_normalize": ("l2_normalize", "x axis epsilon"),
    "nn.l2_normalize": ("l2_normalize", "x axis epsilon"),
    "nn.bias_add": ("add", "value=x1 bias=x2"),
    "nn.sigmoid": ("sigmoid", "x"),
    "nn.tanh": ("tanh", "x"),
    "nn.softmax": ("softmax", "logits=x axis"),
    "nn.log_softmax": ("log_softmax", "logits=x axis"),
    "nn.leaky_relu": ("leaky_relu", "features=x alpha=negative_slope"),
    "nn.gelu": ("exact_gelu", "features=x approximate"),
    "concat": ("concatenate", "values=xs axis"),
    "stack": ("stack", "values=x axis"),
    "split": ("split", "value=x num_or_size_splits=indices_or_sections axis"),
    "reshape": ("reshape", "tensor=x shape=newshape"),
    "expand_dims": ("expand_dims", "input=x axis"),
    "squeeze": ("squeeze", "input=x axis"),
    "compat.v1.squeeze": ("squeeze", "input=x axis"),
    "transpose": ("transpose", "a=x perm=axes"),
    "compat.v1.transpose": ("transpose", "a=x perm=axes"),
    "tile": ("tile", "input=x multiples=repeats"),
    "pad": ("pad", "tensor=x paddings=pad_width mode constant_values"),
    "compat.v1.pad": ("pad", "tensor=x paddings=pad_width mode constant_values"),
    "linalg.matmul": ("matmul", "a=x1 b=x2"),
    "cast": ("cast", "x dtype"),
    "clip_by_value": ("clip", "t=x clip_value_min=x_min clip_value_max=x_max"),
    "where": ("where", "condition x=x1 y=x2"),
    "zeros_like": ("zeros_like", "input=x"),
    "ones_like": ("ones_like", "input=x"),
    "identity": ("copy", "input=x"),
    "stop_gradient": ("copy", "input=x"),
    "convert_to_tensor": ("copy", "value=x"),
    "image.resize": ("image.resize", "images size method=interpolation antialias"),
    "image.rgb_to_grayscale": ("image.rgb_to_grayscale", "images"),
    "image.per_image_standardization": ("per_image_standardization", "image=x"),
    "image.grayscale_to_rgb": ("grayscale_to_rgb", "images=x"),
    "__operators__.getitem": ("getitem", "tensor=x slice_spec=key"),
}
# Graph nodes: inputs in order; those of the attributes that matter stand after "|" as attribute=parameter.
NODES: Final[dict[str, Target]] = {
    **{name: (name.lower(), "x=x1 y=x2") for name in ("Add", "Maximum", "Minimum", "Greater", "Less", "Equal")},
    **{
        name: (name.lower(), "x")
        for name in ("Abs", "Sqrt", "Square", "Exp", "Log", "Rsqrt", "Sin", "Cos", "Floor", "Ceil")
    },
    **{
        name: (name.lower(), "x")
        for name in ("Relu", "Relu6", "Elu", "Selu", "Softplus", "Softsign", "Sigmoid", "Tanh")
    },
    **{name: (name.lower(), "x axis | keep_dims=keepdims") for name in ("Mean", "Sum", "Max", "Min", "Prod")},
    "AddV2": ("add", "x=x1 y=x2"),
    "BiasAdd": ("add", "x=x1 y=x2"),
    "Sub": ("subtract", "x=x1 y=x2"),
    "Mul": ("multiply", "x=x1 y=x2"),
    "RealDiv": ("true_divide", "x=x1 y=x2"),
    "Div": ("true_divide", "x=x1 y=x2"),
    "Pow": ("power", "x=x1 y=x2"),
    "Neg": ("negative", "x"),
    "Sign": ("sign", "x"),
    "Softmax": ("softmax", "x"),
    "LogSoftmax": ("log_softmax", "x"),
    "LeakyRelu": ("leaky_relu", "x | alpha=negative_slope"),
    "Reshape": ("reshape", "x newshape"),
    "Transpose": ("transpose", "x axes"),
    "ExpandDims": ("expand_dims", "x axis"),
    "Squeeze": ("squeeze", "x | squeeze_dims=axis"),
    "Tile": ("tile", "x repeats"),
    "Pad": ("pad", "x pad_width"),
    "MatMul": ("matmul", "x=x1 y=x2"),
    "BatchMatMulV2": ("matmul", "x=x1 y=x2"),
    "ClipByValue": ("clip", "x x_min x_max"),
    "Identity": ("copy", "x"),
    "DepthToSpace": ("depth_to_space", "x | block_size=block_size"),
    "SpaceToDepth": ("space_to_depth", "x | block_size=block_size"),
}
# An argument that the table does not name may have these values only: TensorFlow's defaults, and names.
_INERT: Final[dict[str, tuple[Json, ...]]] = {
    "data_format": ("NHWC", None, "N...C"),
    "conjugate": (False,),
    "preserve_aspect_ratio": (False,),
    **dict.fromkeys(("transpose_a", "transpose_b", "adjoint_a", "adjoint_b", "a_is_sparse", "b_is_sparse"), (False,)),
    **dict.fromkeys(("transpose_x", "transpose_y", "adj_x", "adj_y", "half_pixel_centers"), (False,)),
    **dict.fromkeys(("dtype", "dtype_hint", "output_type", "layout", "threshold"), (None,)),
}


def function_call(function: str, call: Call, place: str) -> tuple[str, Call]:
    """Today's operation and call of a TFOpLambda; raises for a function or an argument that is not known."""
    if function not in FUNCTIONS:
        raise ModelNotAllowedError(f"{place}: tf.{function[:80]} is not on the list of allowed operations")
    name, parameters = FUNCTIONS[function]
    pairs = [(word.partition("=")[0], word.partition("=")[2] or word) for word in parameters.split()]
    arguments = dict(zip((theirs for theirs, _ in pairs), call.args, strict=False)) | dict(call.kwargs)
    return name, _call(
        name, {ours: arguments.pop(theirs) for theirs, ours in pairs if theirs in arguments}, arguments, place
    )


def node_call(config: Mapping[str, Json], call: Call, place: str) -> tuple[str, Call]:
    """Today's operation and call of a TensorFlowOpLayer; its constants fill the inputs that are not tensors."""
    node, constants = config.get("node_def"), config.get("constants") or {}
    if not isinstance(node, dict) or not isinstance(constants, dict):
        raise ModelError(f"{place}: it has no readable node_def")
    kind, attributes = str(node.get("op")), node.get("attr") or {}
    if not isinstance(attributes, dict):
        raise ModelError(f"{place}: it has no readable node_def")
    tensors = list(call.args[0]) if call.args and isinstance(call.args[0], list) else list(call.args)
    inputs: list[Value] = []
    for position in range(len(tensors) + len(constants)):
        fixed = constants.get(str(position))
        inputs.append(tensors.pop(0) if fixed is None and tensors else replace_numbers(fixed))
    return _special_node(kind, inputs, attributes, place) or _node(kind, inputs, attributes, place)


def _special_node(
    kind: str, inputs: list[Value], attributes: Mapping[str, Json], place: str
) -> tuple[str, Call] | None:
    """Nodes whose inputs are a list, or whose attributes are in a form of their own."""
    match kind:
        case "ConcatV2":
            return "concatenate", Call((), {"xs": inputs[:-1], "axis": inputs[-1]})
        case "Pack":
            return "stack", Call((), {"x": list(inputs), "axis": _attribute(attributes.get("axis", {"i": 0}))})
        case "Cast":
            return "cast", Call((), {"x": inputs[0], "dtype": _dtype(attributes.get("DstT"), place)})
        case "StridedSlice":
            return "getitem", Call((), {"x": inputs[0], "key": _strided(inputs[1:], attributes, place)})
    return None


def _node(kind: str, inputs: list[Value], attributes: Mapping[str, Json], place: str) -> tuple[str, Call]:
    if kind not in NODES:
        raise ModelNotAllowedError(f"{place}: TensorFlow's {kind[:80]} is not on the list of allowed operations")
    name, parameters = NODES[kind]
    positional, _, named = parameters.partition("|")
    ours = [word.partition("=")[2] or word for word in positional.split()]
    arguments = dict(zip(ours, inputs, strict=False))
    for word in named.split():
        attribute, _, parameter = word.partition("=")
        if attribute in attributes:
            arguments[parameter] = _attribute(attributes[attribute])
    left = {key: _attribute(attributes[key]) for key in _INERT if key in attributes and key not in named}
    return name, _call(name, arguments, {key: value for key, value in left.items() if value is not None}, place)


def _call(name: str, arguments: dict[str, Value], left: Mapping[str, Value], place: str) -> Call:
    for argument, value in left.items():
        if argument != "name" and value not in _INERT.get(argument, (None,)):
            raise ModelError(f"{place}: argument {argument!r} = {str(value)[:80]} is not known")
    for parameter in ("x1", "x2"):
        if parameter in arguments:
            arguments[parameter] = _as_array(arguments[parameter])
    if name == "pad":
        arguments["mode"] = str(arguments.get("mode") or "constant").lower()
        if arguments["mode"] != "constant":
            arguments.pop("constant_values", None)
    if name == "image.resize" and arguments.get("interpolation") not in (None, "bilinear", "nearest", "bicubic"):
        raise ModelError(f"{place}: resizing by {arguments['interpolation']!r} is not supported")
    if name == "split" and not isinstance(arguments.get("indices_or_sections"), int):
        raise ModelError(f"{place}: splitting into parts of given sizes is not supported")
    return Call((), {key: value for key, value in arguments.items() if value is not None})


def _as_array(value: Value) -> Value:
    return Array(value, "float32") if isinstance(value, list) else value


def _attribute(value: Json) -> Value:
    """A value of NodeDef.attr as protobuf's JSON has it: {"b": true}, {"i": "2"}, {"list": {"i": [...]}}."""
    if not isinstance(value, dict):
        return None
    if isinstance(numbers := value.get("list"), dict):
        items = numbers.get("i")
        return [int(str(item)) for item in items] if isinstance(items, list) else []
    if "i" in value:
        return int(str(value["i"]))
    if isinstance(value.get("s"), str):
        try:
            return base64.b64decode(str(value["s"])).decode("ascii", "replace")
        except binascii.Error:
            return None
    found = value.get("b", value.get("f"))
    return found if isinstance(found, bool | float | int) else None


def _dtype(value: Json, place: str) -> str:
    names = {"DT_FLOAT": "float32", "DT_HALF": "float16", "DT_INT32": "int32", "DT_INT64": "int64", "DT_UINT8": "uint8"}
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in names:
        raise ModelError(f"{place}: a cast to {str(kind)[:40]} is not supported")
    return names[str(kind)]


def _strided(inputs: list[Value], attributes: Mapping[str, Json], place: str) -> list[Value]:
    """tf.strided_slice's begin, end, strides and bit masks as slices."""
    begin, end, strides = (list(item) if isinstance(item, list) else [] for item in (inputs + [None] * 3)[:3])
    masks = {name: _mask(attributes, name) for name in ("begin_mask", "end_mask", "shrink_axis_mask")}
    if (
        _mask(attributes, "ellipsis_mask")
        or _mask(attributes, "new_axis_mask")
        or not len(begin) == len(end) == len(strides)
    ):
        raise ModelError(f"{place}: this form of slicing is not supported")
    key: list[Value] = []
    for axis, (first, last, step) in enumerate(zip(begin, end, strides, strict=True)):
        bit = 1 << axis
        if masks["shrink_axis_mask"] & bit:
            key.append(first)
        else:
            key.append(
                Slice(None if masks["begin_mask"] & bit else first, None if masks["end_mask"] & bit else last, step)
            )
    return key


def _mask(attributes: Mapping[str, Json], name: str) -> int:
    found = _attribute(attributes.get(name))
    return found if isinstance(found, int) else 0
