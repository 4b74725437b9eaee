"""`--trained-with`: the call that a model's training read its pictures by, in the words of serving.json.

    --trained-with image_dataset_from_directory crop_to_aspect_ratio=True
    --trained-with "ImageDataGenerator(rescale=1/255, samplewise_center=True)"

Arguments are the call's own. `rescale`, `offset` and
`preprocess_input` may be given with any of them, for what was done to the numbers afterwards.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from classifier.pictures.preprocessing import ANTIALIASED, CAFFE_MEAN
from lifecycle.errors import UsageError
from lifecycle.training_call import Arguments, read_call

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

type Fields = dict[str, Any]

APPLICATIONS = {
    "tf": "mobilenet mobilenet_v2 inception_v3 inception_resnet_v2 xception resnet_v2 nasnet",
    "caffe": "resnet resnet50 vgg16 vgg19",
    "torch": "densenet",
    "none": "efficientnet efficientnet_v2 convnext mobilenet_v3 regnet",
}
"""The modules of keras.applications by what their `preprocess_input` does."""
ALIKE = 1e-5
"""Relative: 1/255 written with seven digits is meant for it, 0.0039 for itself."""
FOLLOWING = ("rescale", "offset", "preprocess_input")
_FLAGS = ("INTER_NEAREST", "INTER_LINEAR", "INTER_CUBIC", "INTER_AREA")
"""OpenCV's, in the order of their numbers."""
OPENCV_FILTERS = {
    word: name.removeprefix("INTER_").lower() for number, name in enumerate(_FLAGS) for word in (name, str(number))
}
IGNORED = frozenset(
    (
        *("directory", "labels", "label_mode", "class_names", "classes", "class_mode", "batch_size", "shuffle", "seed"),
        *("validation_split", "subset", "verbose", "follow_links", "data_format", "path", "save_to_dir"),
        *("save_prefix", "save_format", "dataframe", "x_col", "y_col", "weight_col", "validate_filenames"),
        *("x", "y", "sample_weight", "images", "image", "name", "src", "dst"),
    )
)
"""Arguments that change no pixel."""
AUGMENTING = frozenset(
    (
        *("rotation_range", "width_shift_range", "height_shift_range", "brightness_range", "shear_range", "zoom_range"),
        *("channel_shift_range", "horizontal_flip", "vertical_flip", "fill_mode", "cval", "dtype"),
        *("interpolation_order", "zca_epsilon"),
    )
)
"""Arguments of ImageDataGenerator that work in training only."""


def fields_of(words: Sequence[str]) -> Fields:
    """serving.json's `preprocessing` for what `--trained-with` was given; UsageError says what is wrong with it."""
    name, arguments = read_call(words)
    if name not in CALLS:
        raise UsageError(f"--trained-with {name}: expected {', '.join(CALLS)}")
    following = {key: arguments.pop(key) for key in FOLLOWING if key in arguments}
    if name == "ImageDataGenerator" and "preprocess_input" not in following:
        following["preprocess_input"] = arguments.pop("preprocessing_function", None)
    for key in IGNORED & arguments.keys():
        del arguments[key]
    found = CALLS[name](arguments)
    if arguments:
        raise UsageError(f"--trained-with {name}: {', '.join(arguments)}: not known. {_known(name)}")
    scale = _scale(following)
    if found.get("color") == "bgr" and scale.get("scale") == "caffe":  # which turns blue, green, red round as well
        return {**found, "color": "rgb", "mean": list(CAFFE_MEAN)}
    return {**found, **scale}


def _known(name: str) -> str:
    return f"Its arguments that matter are {', '.join(ARGUMENTS[name])}; {', '.join(FOLLOWING)} go with every call"


def _flag(given: Arguments, name: str) -> bool:
    value = given.pop(name, False)
    if value not in (True, False, None):
        raise UsageError(f"--trained-with ... {name}={value}: expected True or False")
    return bool(value)


def _dataset(given: Arguments) -> Fields:
    if (library := given.pop("format", "tf")) != "tf":
        raise UsageError(f"--trained-with image_dataset_from_directory: format={library}: only tf is known")
    return {
        "pixels": "tensorflow",
        "filter": given.pop("interpolation", "bilinear"),
        "resize": _resize(given, "pad"),
        **_size(given, "image_size"),
        **_color(given),
    }


def _layer(given: Arguments) -> Fields:
    size = [given.pop(side) for side in ("height", "width") if side in given]
    if given.pop("fill_mode", "constant") != "constant" or given.pop("fill_value", 0):
        raise UsageError("--trained-with Resizing: only black borders are known: no fill_value, fill_mode constant")
    name = given.pop("interpolation", "bilinear")
    return {
        "pixels": "tensorflow",
        "filter": name,
        "resize": _resize(given, "pad-resize"),
        **_antialias(given, name),
        **({"size": size} if size else {}),
    }


def _tensorflow(given: Arguments, resize: str = "stretch") -> Fields:
    if _flag(given, "preserve_aspect_ratio"):
        raise UsageError("--trained-with tf.image: preserve_aspect_ratio gives pictures of many sizes")
    central = given.pop("resize_to", None)
    name = str(given.pop("method", "bilinear")).rpartition(".")[2].lower().removesuffix("_neighbor")
    return {
        "pixels": "tensorflow",
        "filter": name,
        "resize": resize,
        **_antialias(given, name),
        **({"resize_to": central} if central else {}),
        **({"standardize": "per_image"} if _flag(given, "per_image_standardization") else {}),
        **_size(given, "size"),
        **_color(given),
    }


def _padded(given: Arguments) -> Fields:
    sides = [given.pop(side) for side in ("target_height", "target_width") if side in given]
    return {**_tensorflow(given, "pad"), **({"size": sides} if sides else {})}


def _load_img(given: Arguments) -> Fields:
    kept = _flag(given, "keep_aspect_ratio")
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
    fitted = [_flag(given, name) for name in ("featurewise_center", "featurewise_std_normalization", "zca_whitening")]
    if any(fitted):
        raise UsageError("--trained-with ImageDataGenerator: featurewise_* needs its mean and std: give --serving")
    center, std = _flag(given, "samplewise_center"), _flag(given, "samplewise_std_normalization")
    standardize = "samplewise" if std else "samplewise_center" if center else None  # dividing implies centring
    return {**_load_img(given), **({"standardize": standardize} if standardize else {})}


def _opencv(given: Arguments) -> Fields:
    name = str(given.pop("interpolation", "INTER_LINEAR")).rpartition(".")[2]
    size = given.pop("dsize", None)
    if isinstance(size, list):
        size = size[::-1]
        given.pop("fx", None), given.pop("fy", None)  # not looked at beside it
    return {
        "pixels": "opencv",
        "filter": OPENCV_FILTERS.get(name, name),
        **({"size": size} if size else {}),
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
    crops, pads = _flag(given, "crop_to_aspect_ratio"), _flag(given, "pad_to_aspect_ratio")
    if crops and pads:
        raise UsageError("--trained-with ...: only one of crop_to_aspect_ratio and pad_to_aspect_ratio can be True")
    return "crop" if crops else pad if pads else "stretch"


def _antialias(given: Arguments, name: str) -> Fields:
    """Said where it changes something."""
    return {"antialias": True} if _flag(given, "antialias") and name in ANTIALIASED else {}


def _size(given: Arguments, name: str) -> Fields:
    size = given.pop(name, None)
    return {"size": [size, size] if isinstance(size, int) else size} if size else {}


def _color(given: Arguments) -> Fields:
    mode = given.pop("color_mode", None)
    return {"color": mode} if mode else {}


def _scale(following: Arguments) -> Fields:
    """What was done to the numbers: a named `preprocess_input`, or a factor and an offset."""
    named = _named(following.get("preprocess_input"))
    factor, offset = following.get("rescale"), following.get("offset") or 0
    if factor is None and not offset:
        return named
    factor = 1 if factor is None else factor
    if not isinstance(factor, int | float) or not isinstance(offset, int | float) or not factor:
        raise UsageError(f"--trained-with ... rescale={factor}, offset={offset}: expected numbers, as rescale=1/255")
    if named.get("scale", "none") != "none":
        raise UsageError("--trained-with ... rescale= and preprocess_input=: expected one of them, else mean and std")
    if math.isclose(factor, 1 / 255, rel_tol=ALIKE) and not offset:
        return {"scale": "unit"}
    if math.isclose(factor, 1 / 127.5, rel_tol=ALIKE) and offset == -1:
        return {"scale": "tf"}
    return {"mean": [0.0 - offset / factor], "std": [1 / factor]}


def _named(function: object) -> Fields:
    """The scale of a module's `preprocess_input`."""
    if function is None:
        return {}
    name = str(function).removesuffix(".preprocess_input").rpartition(".")[2]
    for mode, modules in APPLICATIONS.items():
        if name in {mode, *modules.split()}:
            return {"scale": mode}
    known = " ".join(APPLICATIONS.values())
    raise UsageError(f"--trained-with ... preprocess_input={function}: expected a module of Keras: {known}")
