"""The call that `--trained-with` was given, read without running it: its name, and its arguments by name."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

from lifecycle.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

type Arguments = dict[str, Any]

_PREFIXES = (
    *("tf.keras.", "tensorflow.keras.", "keras.", "utils.", "layers.", "legacy.", "experimental.", "preprocessing."),
    "image.",
)
_OTHER_NAMES = {
    "cv2.resize": "opencv",
    "cv2": "opencv",
    "teachable_machine": "teachable-machine",
    "flow_from_directory": "ImageDataGenerator",
    "flow_from_dataframe": "ImageDataGenerator",
}
_ORDERS = {
    "image_dataset_from_directory": "directory labels label_mode class_names color_mode batch_size image_size shuffle "
    "seed validation_split subset interpolation follow_links crop_to_aspect_ratio pad_to_aspect_ratio",
    "load_img": "path color_mode target_size interpolation keep_aspect_ratio",
    "flow": "x y batch_size shuffle",
    "flow_from_directory": "directory target_size color_mode classes class_mode batch_size shuffle seed",
    "flow_from_dataframe": "dataframe directory x_col y_col weight_col target_size color_mode classes class_mode",
    "Resizing": "height width interpolation crop_to_aspect_ratio",
    "tf.image.resize": "images size method preserve_aspect_ratio antialias",
    "tf.image.resize_with_pad": "image target_height target_width method antialias",
    "cv2.resize": "src dsize dst fx fy interpolation",
}
"""The names of arguments that may be given without one."""
_ARITHMETIC = {ast.Div: operator.truediv, ast.Mult: operator.mul, ast.Add: operator.add, ast.Sub: operator.sub}
_WORDS = {"true": True, "false": False, "none": None, "null": None}
"""As people type them on a command line."""


def read_call(words: Sequence[str]) -> tuple[str, Arguments]:
    """The name and the arguments of what `--trained-with` was given; UsageError if it is no call."""
    if words[0].rstrip().endswith("(") or "(" in words[0]:
        text = " ".join(words)
    else:
        text = f"{words[0]}({', '.join(map(_quoted, words[1:]))})"
    try:
        call = ast.parse(text.replace("teachable-machine", "teachable_machine").strip(), mode="eval").body
        return _read(call, text)
    except SyntaxError as error:
        raise UsageError(f"--trained-with {text}: this can't be read: {error.msg}") from error
    except (ArithmeticError, TypeError) as error:
        raise UsageError(f"--trained-with {text}: this can't be computed: {error}") from error


def _quoted(word: str) -> str:
    if "=" not in word:
        raise UsageError(f"--trained-with ... {word}: expected an argument of the call, as interpolation=nearest")
    return word


def _read(call: ast.expr, text: str) -> tuple[str, Arguments]:
    if not isinstance(call, ast.Call):
        call = ast.Call(call, [], [])
    following: Arguments = {}
    match call.func:
        case ast.Attribute(ast.Call() as made, followed):
            if not followed.startswith("flow"):
                raise UsageError(
                    f"--trained-with {text}: expected one call, as load_img() or ImageDataGenerator().flow()"
                )
            following, call = _arguments(call, followed, text), made
    name = ast.unparse(call.func)
    while prefix := next((each for each in _PREFIXES if name.startswith(each)), ""):
        name = name.removeprefix(prefix)
    return _OTHER_NAMES.get(name, name), {**_arguments(call, name, text), **following}


def _arguments(call: ast.Call, name: str, text: str) -> Arguments:
    order = _ORDERS.get(name, "").split()
    if len(call.args) > len(order) or any(isinstance(each, ast.Starred) for each in call.args):
        raise UsageError(f"--trained-with {text}: give arguments by name, as interpolation='nearest'")
    given = {word: _value(value) for word, value in zip(order, call.args, strict=False)}
    return given | {keyword.arg or "**": _value(keyword.value) for keyword in call.keywords}


def _value(node: ast.expr) -> Any:  # noqa: ANN401 - whatever was written
    """Literals, arithmetic such as 1/255, pairs; names stand for themselves, as cv2.INTER_AREA does."""
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(word) if word in _WORDS:
            return _WORDS[word]
        case ast.Tuple(items) | ast.List(items):
            return [_value(item) for item in items]
        case ast.BinOp(left, sign, right) if type(sign) in _ARITHMETIC:
            return _ARITHMETIC[type(sign)](_value(left), _value(right))
        case ast.UnaryOp(ast.USub(), number):
            return -_value(number)
    return ast.unparse(node)
