"""Reads the values of options: activations, dtypes, and the objects that matter to training only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.errors import ModelError, ModelNotAllowedError
from classifier.keras_json.words import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.documents import Json

# What any reader here says about where it is: "layer 'conv1' (Conv2D), option 'activation', written by Keras 2.3.1".
type Place = str

# Name in the JSON -> name in keras.activations. Only these are looked up: Keras itself would call any public keras.*
# function that an activation names.
_SAME = words("""
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid log_softmax
    mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax
    squareplus tanh tanh_shrink
""")
ACTIVATIONS: dict[str, str] = {
    **{name: name for name in _SAME},
    "swish": "silu",
    "swish_impl": "silu",  # the name inside of tf.nn.swish
    "hard_swish": "hard_silu",
    "hardsigmoid": "hard_sigmoid",
    "softmax_v2": "softmax",  # the names inside of tf.nn's functions, as tf.keras 1.15-2.x wrote them
    "log_softmax_v2": "log_softmax",
    "leaky_relu_v2": "leaky_relu",
    "keras2_hard_sigmoid": "keras2_hard_sigmoid",
}
# hard_sigmoid was clip(0.2x + 0.5, 0, 1) until Keras 2.15 (keras/backend.py) and is relu6(x + 3) / 6 since 3.0.
_KERAS_2_ACTIVATIONS = {"hard_sigmoid": "keras2_hard_sigmoid", "hardsigmoid": "keras2_hard_sigmoid"}

_DTYPES = words("float16 bfloat16 float32 float64 mixed_float16 mixed_bfloat16 uint8 int8 int16 int32 int64 bool")
_POLICIES = words("DTypePolicy FloatDTypePolicy Policy PolicyV1")
_TRAINING_OBJECTS = words("""
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
    Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros STFT
    STFTInitializer L1 L2 L1L2 L1_L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm SeedGenerator
""")
_TRAINING_NAMES = words("""
    constant glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal lecun_uniform one ones orthogonal
    random_normal random_uniform normal uniform truncated_normal variance_scaling zero zeros l1 l2 l1_l2 l1l2
    orthogonal_regularizer max_norm maxnorm min_max_norm non_neg nonneg unit_norm unitnorm
""")


def activation(value: Json, *, keras_2: bool, place: Place) -> str:
    """The name of an activation in keras.activations, or keras2_hard_sigmoid."""
    name = _function_name(value, place)
    if name is None:
        return "linear"
    if keras_2 and name in _KERAS_2_ACTIVATIONS:
        return _KERAS_2_ACTIVATIONS[name]
    if name not in ACTIVATIONS:
        raise ModelNotAllowedError(f"{place}: activation {name!r} is not one of Keras's own")
    return ACTIVATIONS[name]


def _function_name(value: Json, place: Place) -> str | None:
    """A function is written as its name or, since 2.13, as {"class_name": "function", "config": name}.

    The latter is what `activation=tf.nn.swish` becomes; a function of somebody's own can't be told from TensorFlow's by
    that, so the name counts.
    """
    if isinstance(value, dict) and value.get("class_name") == "function":
        check_origin({"module": value.get("module")}, place)
        if value.get("registered_name") not in (None, "function", value.get("config")):
            raise ModelNotAllowedError(f"{place}: {_brief(value.get('registered_name'))} is a custom function")
        value = value.get("config")
    if value is None or isinstance(value, str):
        return value
    raise ModelNotAllowedError(f"{place}: an activation can't be {_brief(value)}")


def dtype(value: Json, place: Place) -> str:
    """The dtype policy's name; "_infer" of tf.keras 1.x means float32."""
    if isinstance(value, dict):
        check_origin(value, place)
        if value.get("class_name") not in _POLICIES:
            raise ModelNotAllowedError(f"{place}: dtype policy {value.get('class_name')!r} is not supported")
        config = value.get("config")
        value = config.get("name") if isinstance(config, dict) else None
    if value in (None, "_infer", "infer", "infer_float32"):
        return "float32"
    if not isinstance(value, str) or value not in _DTYPES:
        raise ModelError(f"{place}: dtype {_brief(value)} is not supported")
    return value


def training_object(value: Json, place: Place) -> None:
    """Check an initializer, regularizer, constraint or seed: allowed by name, and then of no use to inference."""
    if value is None or isinstance(value, int | float):
        return
    if isinstance(value, str):
        if value not in _TRAINING_NAMES and value not in _TRAINING_OBJECTS:
            raise ModelNotAllowedError(f"{place}: {value!r} is not one of Keras's own")
        return
    if not isinstance(value, dict):
        raise ModelError(f"{place}: expected an object, found {_brief(value)}")
    check_origin(value, place)
    if value.get("class_name") not in _TRAINING_OBJECTS:
        raise ModelNotAllowedError(f"{place}: class {value.get('class_name')!r} is not one of Keras's own")
    check_plain(value.get("config"), place)


def check_origin(value: Mapping[str, Json], place: Place) -> None:
    """Refuse an object that says it comes from outside of Keras, or that is registered as somebody's own."""
    module = value.get("module")
    if module is not None and not _is_keras_module(module):
        raise ModelNotAllowedError(f"{place}: module {_brief(module)} is not Keras")
    registered = value.get("registered_name")
    if registered is not None and not _is_keras_name(registered, value):
        raise ModelNotAllowedError(f"{place}: {_brief(registered)} is a custom class")


def _is_keras_module(module: Json) -> bool:
    if not isinstance(module, str):
        return False
    return module == "builtins" or module in _ROOTS or module.startswith(tuple(f"{root}." for root in _ROOTS))


_ROOTS = (
    "keras",
    "tf_keras",
    "tensorflow.keras",
    "tensorflow.python.keras",
    "tensorflow.python.training",
    "tensorflow.python.ops.init_ops",  # tf.keras 2.12-2.15, where an initializer was tf.constant_initializer
    "tensorflow.python.ops.init_ops_v2",
)
# Of keras.applications, registered there without a package of its own until 2.15; we build our own of the same name.
_REGISTERED_AS_CUSTOM = words("LayerScale CustomScaleLayer")


def _is_keras_name(registered: Json, value: Mapping[str, Json]) -> bool:
    """Keras registers its own under the bare class name, or under a package of its own ("keras", "keras.src")."""
    if not isinstance(registered, str):
        return False
    package, _, name = registered.rpartition(">")
    if package == "Custom" and name in _REGISTERED_AS_CUSTOM:
        return True
    return name == value.get("class_name") and (not package or package.split(".")[0] in ("keras", "tf_keras"))


def check_plain(value: Json, place: Place) -> None:
    """Refuse any object with a class inside what should be numbers, texts and lists."""
    if isinstance(value, dict):
        if "class_name" in value:
            check_origin(value, place)
            if value["class_name"] not in _TRAINING_OBJECTS | _POLICIES | {"__tuple__", "__numpy__", "__tensor__"}:
                raise ModelNotAllowedError(f"{place}: class {_brief(value['class_name'])} is not allowed here")
        for child in value.values():
            check_plain(child, place)
    elif isinstance(value, list):
        for child in value:
            check_plain(child, place)


def unwrap(value: Json, place: Place) -> Json:
    """Numbers and lists out of Keras 3's wrappers for tuples, arrays and tensors."""
    if isinstance(value, list):
        return [unwrap(child, place) for child in value]
    if not isinstance(value, dict):
        return value
    config = value.get("config")
    if value.get("class_name") not in ("__tuple__", "__numpy__", "__tensor__") or not isinstance(config, dict):
        raise ModelError(f"{place}: {_brief(value)} is neither a number, a text nor a list")
    return unwrap(config.get("value"), place)


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
