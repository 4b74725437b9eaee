"""The pipelines that a model is likely to have been trained through, the most common first."""

from __future__ import annotations

import math
from copy import replace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from classifier.pictures.preprocessing import Preprocessing

PIXELS: dict[str, dict[str, Any]] = {
    "image_dataset_from_directory": {"pixels": "tensorflow", "filter": "bilinear"},
    "load_img, ImageDataGenerator": {"pixels": "keras", "filter": "nearest"},
    "load_img, bilinear": {"pixels": "keras", "filter": "bilinear"},
    "image_dataset_from_directory, crop": {"pixels": "tensorflow", "filter": "bilinear", "resize": "crop"},
    "image_dataset_from_directory, pad": {"pixels": "tensorflow", "filter": "bilinear", "resize": "pad"},
    "OpenCV, linear": {"pixels": "opencv", "filter": "linear"},
    "OpenCV, area": {"pixels": "opencv", "filter": "area"},
    "tf.image, antialias": {"pixels": "tensorflow", "filter": "bilinear", "antialias": True},
    "tf.image, nearest": {"pixels": "tensorflow", "filter": "nearest"},
    "tf.image, bicubic": {"pixels": "tensorflow", "filter": "bicubic"},
    "tf.image, area": {"pixels": "tensorflow", "filter": "area"},
    "Resizing, pad": {"pixels": "tensorflow", "filter": "bilinear", "resize": "pad-resize"},
    "load_img, bicubic": {"pixels": "keras", "filter": "bicubic"},
    "load_img, lanczos": {"pixels": "keras", "filter": "lanczos"},
    "load_img, crop": {"pixels": "keras", "filter": "nearest", "resize": "crop"},
    "load_img, bilinear, crop": {"pixels": "keras", "filter": "bilinear", "resize": "crop"},
    "teachable-machine": {"pixels": "keras", "filter": "lanczos", "resize": "crop"},
    "OpenCV, nearest": {"pixels": "opencv", "filter": "nearest"},
    "OpenCV, cubic": {"pixels": "opencv", "filter": "cubic"},
}
UNLIKE = (
    *("image_dataset_from_directory", "load_img, ImageDataGenerator", "load_img, bilinear"),
    *("image_dataset_from_directory, crop", "image_dataset_from_directory, pad"),
    *("OpenCV, linear", "OpenCV, area"),
)
"""Kinds of pixels of which one is near enough to any other for the numbers to show."""
NEAR = (
    {"image_dataset_from_directory", "OpenCV, linear"},
    {"tf.image, area", "OpenCV, area"},
    {"load_img, bilinear", "tf.image, antialias"},
)
"""Kinds of pixels that differ by a level or less, on average: by rounding, and by TensorFlow's JPEG decoder."""
NUMBERS: dict[str, dict[str, Any]] = {
    "0 to 255": {"scale": "none"},
    "0 to 1": {"scale": "unit"},
    "-1 to 1 (tf)": {"scale": "tf"},
    "caffe": {"scale": "caffe"},
    "torch": {"scale": "torch"},
    "per image": {"scale": "none", "standardize": "per_image"},
}
_DEFAULTS: dict[str, Any] = {"resize": "stretch", "antialias": False, "resize_to": None, "fast_decode": False}
_NUMBERS: dict[str, Any] = {"mean": None, "std": None, "standardize": "none"}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline under the names that people know it by."""

    pixels: str
    numbers: str
    preprocessing: Preprocessing

    @property
    def plain(self) -> Preprocessing:
        """The same pixels with nothing done to their numbers."""
        color = "rgb" if self.preprocessing.color == "bgr" else self.preprocessing.color
        return replace(self.preprocessing, **_NUMBERS, scale="none", color=color)

    @property
    def rarity(self) -> float:
        """How much less likely it is than the most common one before anything is seen, in nats: by Zipf's law."""
        rank = list(PIXELS).index(self.pixels) if self.pixels in PIXELS else len(PIXELS)
        return math.log(rank + 1)

    @property
    def name(self) -> str:
        """As a table's row says it."""
        color = self.preprocessing.color
        return f"{self.pixels}; {self.numbers}" + (f", {color}" if color != "rgb" else "")


def numbers_of(given: Preprocessing) -> Iterator[Pipeline]:
    """Scales and orders of colour, with the most common pixels."""
    pixels, fields = next(iter(PIXELS.items()))
    for color in ("rgb", "bgr") if given.channels == 3 else (given.color,):
        for name, numbers in NUMBERS.items():
            if (given.channels != 3 and numbers["scale"] in {"caffe", "torch"}) or (color, name) == ("bgr", "caffe"):
                continue
            wanted = {**_DEFAULTS, **_NUMBERS, **fields, **numbers, "color": color}
            yield Pipeline(pixels, name, replace(given, **wanted))


def pixels_of(pipeline: Pipeline, names: Iterable[str] = PIXELS) -> Iterator[Pipeline]:
    """Every kind of pixels, or those named, with a pipeline's numbers."""
    for name in names:
        if pipeline.preprocessing.color == "bgr" and not name.startswith("OpenCV"):
            continue  # nobody else reads blue first
        fields = PIXELS[name]
        yield Pipeline(name, pipeline.numbers, replace(pipeline.preprocessing, **{**_DEFAULTS, **fields}))


def named(preprocessing: Preprocessing) -> Pipeline:
    """A pipeline of somebody's own, by the names that its fields have here, else as it is said."""
    pixels = _name(preprocessing, PIXELS, _DEFAULTS) or f"{preprocessing.pixels}, {preprocessing.filter}"
    return Pipeline(pixels, _name(preprocessing, NUMBERS, _NUMBERS) or "as published", preprocessing)


def _name(given: Preprocessing, known: dict[str, dict[str, Any]], defaults: dict[str, Any]) -> str | None:
    for name, fields in known.items():
        if all(getattr(given, field) == value for field, value in {**defaults, **fields}.items()):
            return name
    return None
