"""How a picture becomes the model's input: the `preprocessing` of serving.json, and the arithmetic that it asks for.

Pixels are resized by `classifier.pictures.render`; this module knows the specification and does what comes after.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Self

from classifier.arrays import FLOAT_BYTES, shaped
from classifier.pictures.scaling import Steps, scaled
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


Pixels = Literal["keras", "tensorflow", "opencv"]
Color = Literal["rgb", "bgr", "grayscale", "rgba"]
Scale = Literal["none", "unit", "tf", "caffe", "torch"]

Standardize = Literal["none", "per_image", "samplewise", "samplewise_center", "samplewise_std"]

FILTERS: dict[str, tuple[str, ...]] = {
    "keras": ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"),
    "tensorflow": ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic"),
    "opencv": ("linear", "nearest", "area", "cubic"),
}
RESIZES: dict[str, tuple[str, ...]] = {
    "keras": ("stretch", "crop", "pad"),
    "tensorflow": ("stretch", "crop", "pad", "pad-resize"),
    "opencv": ("stretch",),
}
"""What each of `pixels` knows, the default first."""
ANTIALIASED = ("bilinear", "bicubic", "lanczos3", "lanczos5", "gaussian", "mitchellcubic")
"""The filters of TensorFlow that its `antialias` changes."""
CHOICES: dict[str, tuple[str, ...]] = {
    "pixels": ("keras", "tensorflow", "opencv"),
    "resize": RESIZES["tensorflow"],
    "filter": tuple(dict.fromkeys(name for names in FILTERS.values() for name in names)),
    "color": ("rgb", "bgr", "grayscale", "rgba"),
    "scale": ("none", "unit", "tf", "caffe", "torch"),
    "standardize": ("none", "per_image", "samplewise", "samplewise_center", "samplewise_std"),
}
CHANNELS = {"rgb": 3, "bgr": 3, "grayscale": 1, "rgba": 4}
FIELDS = (
    *("size", "resize", "filter", "color", "scale", "mean", "std", "fast_decode"),
    *("pixels", "antialias", "resize_to", "standardize"),
)
RESIZING = frozenset({"size", "resize", "filter", "antialias", "resize_to"})
MAX_SIDE = 4096
"""Largest side of a model's input. Together with the filter's weights it bounds the memory that resizing takes."""

LEAST_STD = 1e-30
"""Divisors below this are 0 in float32 or make infinities."""

CAFFE_MEAN = (103.939, 116.779, 123.68)
TORCH_MEAN, TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""The constants of `keras.applications.imagenet_utils.preprocess_input`; Caffe's are in the order blue, green, red."""
SCALES: Mapping[Scale, Steps] = {
    "none": (),
    "unit": (("divide", (255.0,)),),
    "tf": (("divide", (127.5,)), ("subtract", (1.0,))),
    "caffe": (("subtract", CAFFE_MEAN),),
    "torch": (("divide", (255.0,)), ("subtract", TORCH_MEAN), ("divide", TORCH_STD)),
}


class PreprocessingError(ValueError):
    """`preprocessing` is wrong; `problems` names every field with its value and the expected form."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


class Preprocessing(Record, kw_only=True):
    """What is done to a picture before the model sees it. The defaults are those of `keras.utils.load_img`.

    `size` is (height, width) in pixels, as in Keras's `target_size`. `mean` and `std`, one number or one a channel in
    the order of `color`, replace `scale`: (pixel - mean) / std with pixels of 0 to 255. `pixels` says whose decoder and
    whose resize are meant. With `resize_to`, (height, width) or the shorter side, the picture is resized to that, and
    the middle of `size` is cut out. `standardize` comes last. `own`: a model that resizes by itself gets what its own
    layer makes of the picture; size, resize, filter and antialias are that layer's, a resize of TensorFlow's.
    """

    size: tuple[int, int]
    pixels: Pixels = "keras"
    resize: str = "stretch"
    filter: str = "nearest"
    antialias: bool = False
    resize_to: tuple[int, int] | int | None = None
    color: Color = "rgb"
    scale: Scale = "none"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    standardize: Standardize = "none"
    fast_decode: bool = False
    own: bool = False

    @property
    def channels(self) -> int:
        return CHANNELS[self.color]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the array: (1, height, width, channels)."""
        return (1, *self.size, self.channels)

    @classmethod
    def from_json(cls, given: object, input_shape: Sequence[int | None]) -> Self:
        """Read serving.json's `preprocessing` for a model whose input is (height, width, channels), None where free.

        Raises PreprocessingError, which names every problem at once.
        """
        reader = _Reader(given if given is not None else {}, tuple(input_shape))
        values = reader.read()
        if reader.problems:
            raise PreprocessingError(reader.problems)
        return cls(**values)

    @classmethod
    def of_own_layer(cls, given: object, layer: Mapping[str, Any], channels: int | None) -> Self:
        """For a model whose first layer resizes: its fields (see keras_json.resizing) where serving.json has none.

        Raises PreprocessingError as `from_json` does.
        """
        if not isinstance(given, dict) or RESIZING & given.keys():
            return cls.from_json(given, (None, None, channels))
        height, width = layer["size"]
        read = cls.from_json(given, (height, width, channels))
        fields = {name: layer[name] for name in ("resize", "filter", "antialias")}
        if fields["filter"] not in FILTERS["tensorflow"] or fields["resize"] not in RESIZES["tensorflow"]:
            raise PreprocessingError([f"the model's own resize is not known: {_shown(dict(layer))}"])
        moved = read.mean is not None or any(operation == "subtract" for operation, _ in SCALES[read.scale])
        if read.standardize != "none" or (moved and fields["resize"] == "pad-resize"):
            # The whole picture would have to be standardised first; and the layer's border is 0 after the scale.
            name = "standardize" if read.standardize != "none" else "scale"
            raise PreprocessingError([f"preprocessing.{name}: expected with size only, as the model resizes by itself"])
        values = {name: getattr(read, name) for name in cls.__slots__}
        return cls(**{**values, **fields, "own": True})

    def to_json(self) -> dict[str, Any]:
        """Return the specification as serving.json would hold it, defaults included."""
        scaling: dict[str, Any] = {"scale": self.scale}
        if self.mean is not None or self.std is not None:
            scaling = {"mean": list(self.mean or (0.0,)), "std": list(self.std or (1.0,))}
        resized = {} if self.own else {"size": list(self.size), "resize": self.resize, "filter": self.filter}
        return {**self._asked_for(), **resized, "color": self.color, **scaling, "fast_decode": self.fast_decode}

    def _asked_for(self) -> dict[str, Any]:
        """What is not said unless it was asked for: bundles and replies from before it was known stay as they are."""
        resize_to = list(self.resize_to) if isinstance(self.resize_to, tuple) else self.resize_to
        asked = {"pixels": self.pixels, "antialias": self.antialias and not self.own, "resize_to": resize_to}
        return {
            name: value
            for name, value in {**asked, "standardize": self.standardize}.items()
            if value not in ("keras", False, None, "none")
        }

    def to_array(self, pixels: bytes | bytearray) -> memoryview[float]:
        """Turn height x width x channels bytes (RGB, gray or RGBA) into the model's input: a picture of `shape`.

        The operations and their order are those of Keras's numpy path, so the result is the same to the last bit.
        Four times as many bytes are the input itself, which pipelines of floats make (pictures/pipelines/finish.py).
        """
        if len(pixels) == FLOAT_BYTES * math.prod(self.shape):
            return shaped(pixels if isinstance(pixels, bytearray) else bytearray(pixels), self.shape)
        return scaled(pixels, self.shape, self.steps(), reverse=self.reverses)

    def steps(self) -> Steps:
        """What is done to each number, in order, after the channels were put in the model's order."""
        own = (("subtract", self.mean), ("divide", self.std))
        return (*((operation, numbers) for operation, numbers in own if numbers is not None), *SCALES[self.scale])

    @property
    def reverses(self) -> bool:
        """Whether the channels are turned round, to blue, green, red."""
        return self.color == "bgr" or self.scale == "caffe"


class _Reader:
    """Reads one `preprocessing` object and collects what is wrong with it."""

    def __init__(self, given: object, input_shape: tuple[int | None, ...]) -> None:
        self.problems: list[str] = []
        self.given: Mapping[str, Any] = given if isinstance(given, dict) else {}
        if not isinstance(given, dict):
            self.problems.append(f"preprocessing is {_shown(given)}: expected an object")
        if len(input_shape) != 3:
            raise PreprocessingError([f"the model's input is {input_shape}: expected height, width and channels"])
        self.height, self.width, self.channels = input_shape

    def read(self) -> dict[str, Any]:
        for name in self.given:
            if name not in FIELDS:
                self._problem(name, f"expected one of the fields {', '.join(FIELDS)}")
        values: dict[str, Any] = {"size": self._size()}
        defaults = {"color": {1: "grayscale", 4: "rgba"}.get(self.channels or 3, "rgb"), "scale": "none"}
        for name, choices in CHOICES.items():
            known = {"filter": FILTERS, "resize": RESIZES}.get(name, {}).get(values.get("pixels", ""), choices)
            values[name] = self._choice(name, known, defaults.get(name, known[0]))
        channels = CHANNELS[values["color"]]
        values["mean"], values["std"] = self._numbers("mean", channels), self._numbers("std", channels)
        if any(abs(number) < LEAST_STD for number in values["std"] or ()):
            self._problem("std", "expected numbers other than 0")
        for name in ("antialias", "fast_decode"):
            values[name] = self.given.get(name, False)
            if not isinstance(values[name], bool):
                self._problem(name, "expected true or false")
        values["resize_to"] = self._resize_to(values["size"], values["resize"])
        if values["antialias"] is True and not (values["pixels"] == "tensorflow" and values["filter"] in ANTIALIASED):
            self._problem("antialias", f"expected with pixels tensorflow and the filters {', '.join(ANTIALIASED)} only")
        self._check_together(values["color"], values["scale"], channels)
        return values

    def _size(self) -> tuple[int, int]:
        fixed = (self.height, self.width)
        size = self.given.get("size", [side for side in fixed if side])
        if not isinstance(size, list | tuple) or len(size) != 2 or not all(_is_side(side) for side in size):
            why = "" if "size" in self.given else ", because the model's input has no fixed size"
            self._problem("size", f"expected [height, width], each from 1 to {MAX_SIDE}{why}")
            return (1, 1)
        if any(side and side != want for side, want in zip(fixed, size, strict=True)):
            self._problem("size", f"expected {list(fixed)}, the height and width of the model's input")
        return (size[0], size[1])

    def _resize_to(self, size: tuple[int, int], resize: str) -> tuple[int, int] | int | None:
        value = self.given.get("resize_to")
        if value is None:
            return None
        sides = tuple(value) if isinstance(value, list | tuple) else (value, value)
        least = size if isinstance(value, list | tuple) else (max(size), max(size))
        fit = len(sides) == 2 and all(_is_side(side) for side in sides)
        if not fit or sides[0] < least[0] or sides[1] < least[1]:
            self._problem("resize_to", f"expected [height, width] or the shorter side, of {max(size)} pixels or more")
            return None
        if isinstance(value, list | tuple):
            return (sides[0], sides[1])
        if resize != "stretch":
            self._problem("resize_to", f"expected [height, width] with resize {resize}")
        return int(value)

    def _choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self.given.get(name, default)
        if isinstance(value, str) and value in choices:
            return value
        self._problem(
            name, f"expected {', '.join(choices[:-1])} or {choices[-1]}" if choices[1:] else f"expected {choices[0]}"
        )
        return default

    def _numbers(self, name: str, channels: int) -> tuple[float, ...] | None:
        value = self.given.get(name)
        if value is None:
            return None
        numbers = value if isinstance(value, list | tuple) else [value]
        if len(numbers) not in {1, channels} or not all(_is_number(number) for number in numbers):
            self._problem(name, "expected a number" + (f" or a list of {channels} numbers" if channels > 1 else ""))
            return None
        return tuple(float(number) for number in numbers)

    def _check_together(self, color: str, scale: str, channels: int) -> None:
        if self.channels is not None and self.channels != channels:
            self._problem("color", f"the model's input has {self.channels} channels, this color gives {channels}")
        if scale != "none" and ("mean" in self.given or "std" in self.given):
            self._problem("scale", "expected either scale, or mean and std")
        if scale == "caffe" and color == "bgr":
            self._problem("color", "expected rgb with scale caffe, which itself turns the channels to blue, green, red")
        if scale in {"caffe", "torch"} and channels != 3:
            self._problem("scale", f"expected none, unit or tf with color {color}: the others need three channels")

    def _problem(self, name: str, expected: str) -> None:
        value = f" is {_shown(self.given[name])}" if name in self.given else ""
        self.problems.append(f"preprocessing.{name[:40]}{value}: {expected}")


def _is_side(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SIDE


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30 and math.isfinite(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
