"""`--trained-with`: the call that a model's training read its pictures by, in the words of serving.json.

    --trained-with image_dataset_from_directory crop_to_aspect_ratio=True
    --trained-with "ImageDataGenerator(rescale=1/255, samplewise_center=True)"

Arguments are the call's own; those without a name, such as a folder, say nothing of pixels. `rescale`, `offset` and
`preprocess_input` may be given with any of them, for what was done to the numbers afterwards.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any

from lifecycle.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

type Arguments = dict[str, Any]
type Fields = dict[str, Any]

APPLICATIONS = {
    "tf": "mobilenet mobilenet_v2 inception_v3 inception_resnet_v2 xception resnet_v2 nasnet",
    "caffe": "resnet resnet50 vgg16 vgg19",
    "torch": "densenet",
    "none": "efficientnet efficientnet_v2 convnext mobilenet_v3 regnet",
}
"""The modules of keras.applications by what their `preprocess_input` does."""
FOLLOWING = ("rescale", "offset", "preprocess_input")
OPENCV_FILTERS = {"INTER_LINEAR": "linear", "INTER_NEAREST": "nearest", "INTER_AREA": "area", "INTER_CUBIC": "cubic"}
IGNORED = frozenset(
    (
        *("directory", "labels", "label_mode", "class_names", "classes", "class_mode", "batch_size", "shuffle", "seed"),
        *("validation_split", "subset", "verbose", "follow_links", "data_format", "path", "save_to_dir"),
    )
)
"""Arguments that change no pixel."""
AUGMENTING = frozenset(
    (
        *("rotation_range", "width_shift_range", "height_shift_range", "brightness_range", "shear_range", "zoom_range"),
        *("channel_shift_range", "horizontal_flip", "vertical_flip", "fill_mode", "cval", "dtype"),
    )
)
"""Arguments of ImageDataGenerator that work in training only."""


_OTHER_NAMES = {
    "cv2.resize": "opencv",
    "cv2": "opencv",
    "teachable_machine": "teachable-machine",
    "flow_from_directory": "ImageDataGenerator",
    "flow_from_dataframe": "ImageDataGenerator",
}
_POSITIONAL = {
    "Resizing": "Resizing(height=96, width=96)",
    "resize": "size=(96, 96)",
    "resize_with_pad": "target_height=96",
}
"""Calls whose arguments without a name matter, and how to name them."""


def fields_of(words: Sequence[str]) -> Fields:
    """serving.json's `preprocessing` for what `--trained-with` was given; UsageError says what is wrong with it."""
    name, arguments = read_call(words)
    if name not in CALLS:
        raise UsageError(f"--trained-with {name}: expected {', '.join(CALLS)}")
    following = {key: arguments.pop(key) for key in FOLLOWING if key in arguments}
    for key in IGNORED & arguments.keys():
        del arguments[key]
    found = CALLS[name](arguments)
    if arguments:
        raise UsageError(f"--trained-with {name}: {', '.join(arguments)}: not known. {_known(name)}")
    return {**found, **_scale(following)}


def read_call(words: Sequence[str]) -> tuple[str, Arguments]:
    """The name and the arguments of what `--trained-with` was given; UsageError if it is no call."""
    return _read(" ".join(words) if words[0].rstrip().endswith("(") or "(" in words[0] else words)


def _known(name: str) -> str:
    return f"Its arguments that matter are {', '.join(ARGUMENTS[name])}; {', '.join(FOLLOWING)} go with every call"


def _read(given: str | Sequence[str]) -> tuple[str, Arguments]:
    """The call's name and arguments, from the call itself or from `name key=value ...`."""
    text = given if isinstance(given, str) else f"{given[0]}({', '.join(map(_quoted, given[1:]))})"
    try:
        call = ast.parse(text.replace("teachable-machine", "teachable_machine").strip(), mode="eval").body
    except SyntaxError as error:
        raise UsageError(f"--trained-with {text}: this can't be read: {error.msg}") from error
    if not isinstance(call, ast.Call):
        call = ast.Call(call, [], [])
    keywords = call.keywords
    match call.func:
        case ast.Attribute(ast.Call() as made, followed):
            if not followed.startswith("flow"):
                raise UsageError(
                    f"--trained-with {text}: expected one call, as load_img() or ImageDataGenerator().flow()"
                )
            call, keywords = made, [*made.keywords, *keywords]
    name = ast.unparse(call.func)
    if call.args and name.rpartition(".")[2] in _POSITIONAL:
        raise UsageError(f"--trained-with {text}: give arguments by name, as {_POSITIONAL[name.rpartition('.')[2]]}")
    for prefix in ("tf.keras.", "keras.", "utils.", "preprocessing.image.", "layers.", "legacy."):
        name = name.removeprefix(prefix)
    name = _OTHER_NAMES.get(name, name)
    return name, {keyword.arg or "**": _value(keyword.value) for keyword in keywords}


def _quoted(word: str) -> str:
    if "=" not in word:
        raise UsageError(f"--trained-with ... {word}: expected an argument of the call, as interpolation=nearest")
    return word


def _value(node: ast.expr) -> Any:  # noqa: ANN401 - whatever was written
    """Literals, quotients such as 1/255, pairs; names stand for themselves, as cv2.INTER_AREA does."""
    match node:
        case ast.Constant(value):
            return value
        case ast.Tuple(items) | ast.List(items):
            return [_value(item) for item in items]
        case ast.BinOp(left, ast.Div(), right):
            return _value(left) / _value(right)
        case ast.UnaryOp(ast.USub(), number):
            return -_value(number)
    return ast.unparse(node)


def _dataset(given: Arguments) -> Fields:
    return {
        "pixels": "tensorflow",
        "filter": given.pop("interpolation", "bilinear"),
        "resize": _resize(given, "pad"),
        **_size(given, "image_size"),
        **_color(given),
    }


def _layer(given: Arguments) -> Fields:
    size = [given.pop(side) for side in ("height", "width") if side in given]
    return {
        "pixels": "tensorflow",
        "filter": given.pop("interpolation", "bilinear"),
        "resize": _resize(given, "pad-resize"),
        **({"antialias": True} if given.pop("antialias", False) else {}),
        **({"size": size} if size else {}),
    }


def _tensorflow(given: Arguments, resize: str = "stretch") -> Fields:
    if given.pop("preserve_aspect_ratio", False):
        raise UsageError("--trained-with tf.image: preserve_aspect_ratio gives pictures of many sizes")
    central = given.pop("resize_to", None)
    return {
        "pixels": "tensorflow",
        "filter": str(given.pop("method", "bilinear")).rpartition(".")[2].lower(),
        "resize": resize,
        **({"antialias": True} if given.pop("antialias", False) else {}),
        **({"resize_to": central} if central else {}),
        **({"standardize": "per_image"} if given.pop("per_image_standardization", False) else {}),
        **_size(given, "size"),
        **_color(given),
    }


def _padded(given: Arguments) -> Fields:
    sides = [given.pop(side) for side in ("target_height", "target_width") if side in given]
    return {**_tensorflow(given, "pad"), **({"size": sides} if sides else {})}


def _load_img(given: Arguments) -> Fields:
    kept = given.pop("keep_aspect_ratio", False)
    return {
        "pixels": "keras",
        "filter": given.pop("interpolation", "nearest"),
        "resize": "crop" if kept else "stretch",
        **_size(given, "target_size"),
        **_color(given),
    }


def _generator(given: Arguments) -> Fields:
    for key in AUGMENTING & given.keys():
        del given[key]
    if any(given.pop(name, False) for name in ("featurewise_center", "featurewise_std_normalization")):
        raise UsageError("--trained-with ImageDataGenerator: featurewise_* needs its mean and std: give --serving")
    center, std = given.pop("samplewise_center", False), given.pop("samplewise_std_normalization", False)
    names = {(True, True): "samplewise", (True, False): "samplewise_center", (False, True): "samplewise_std"}
    function = given.pop("preprocessing_function", None)
    return {
        **_load_img(given),
        **({"standardize": names[bool(center), bool(std)]} if center or std else {}),
        **(_scale({"preprocess_input": function}) if function else {}),
    }


def _opencv(given: Arguments) -> Fields:
    name = str(given.pop("interpolation", "INTER_LINEAR")).rpartition(".")[2]
    size = given.pop("dsize", None)
    return {
        "pixels": "opencv",
        "filter": OPENCV_FILTERS.get(name, name),
        **({"size": size[::-1]} if size else {}),
        "color": given.pop("color_mode", "bgr"),
    }


def _teachable_machine(given: Arguments) -> Fields:
    del given
    return {"pixels": "keras", "filter": "lanczos", "resize": "crop", "scale": "tf"}


CALLS: dict[str, Callable[[Arguments], Fields]] = {
    "image_dataset_from_directory": _dataset,
    "ImageDataGenerator": _generator,
    "load_img": _load_img,
    "tf.image": _tensorflow,
    "tf.image.resize": _tensorflow,
    "tf.image.resize_with_pad": _padded,
    "Resizing": _layer,
    "opencv": _opencv,
    "teachable-machine": _teachable_machine,
}
_TENSORFLOW = ("size", "method", "antialias", "resize_to", "per_image_standardization", "color_mode")
_KERAS = ("target_size", "interpolation", "keep_aspect_ratio", "color_mode")
_ASPECT = ("interpolation", "crop_to_aspect_ratio", "pad_to_aspect_ratio")
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "image_dataset_from_directory": ("image_size", *_ASPECT, "color_mode"),
    "ImageDataGenerator": (
        *_KERAS,
        *("samplewise_center", "samplewise_std_normalization", "preprocessing_function"),
    ),
    "load_img": _KERAS,
    "tf.image": _TENSORFLOW,
    "tf.image.resize": _TENSORFLOW,
    "tf.image.resize_with_pad": ("target_height", "target_width", *_TENSORFLOW[1:]),
    "Resizing": ("height", "width", *_ASPECT, "antialias"),
    "opencv": ("dsize", "interpolation", "color_mode"),
    "teachable-machine": ("none",),
}


def _resize(given: Arguments, pad: str) -> str:
    crops, pads = given.pop("crop_to_aspect_ratio", False), given.pop("pad_to_aspect_ratio", False)
    return "crop" if crops else pad if pads else "stretch"


def _size(given: Arguments, name: str) -> Fields:
    size = given.pop(name, None)
    return {"size": [size, size] if isinstance(size, int) else size} if size else {}


def _color(given: Arguments) -> Fields:
    mode = given.pop("color_mode", None)
    return {"color": mode} if mode else {}


def _scale(following: Arguments) -> Fields:
    """What was done to the numbers: a named `preprocess_input`, or a factor and an offset."""
    if (function := following.get("preprocess_input")) is not None:
        name = str(function).removesuffix(".preprocess_input").rpartition(".")[2]
        for mode, modules in APPLICATIONS.items():
            if name in {mode, *modules.split()}:
                return {"scale": mode}
        known = " ".join(APPLICATIONS.values())
        raise UsageError(f"--trained-with ... preprocess_input={function}: expected a module of Keras: {known}")
    factor, offset = following.get("rescale"), following.get("offset", 0)
    if factor is None:
        return {}
    if not isinstance(factor, int | float) or not isinstance(offset, int | float) or not factor:
        raise UsageError(f"--trained-with ... rescale={factor}, offset={offset}: expected numbers, as rescale=1/255")
    if math.isclose(factor, 1 / 255, rel_tol=1e-3) and not offset:
        return {"scale": "unit"}
    if math.isclose(factor, 1 / 127.5, rel_tol=1e-3) and offset == -1:
        return {"scale": "tf"}
    return {"mean": [0.0 - offset / factor], "std": [1 / factor]}
