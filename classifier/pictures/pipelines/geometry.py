"""Which part of a picture is resized to what, and where it is put: the boxes of TensorFlow's crops and pads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from classifier.pictures.pipelines.axes import Part, single
from classifier.records import Record

if TYPE_CHECKING:
    from PIL.Image import Image

    from classifier.pictures.preprocessing import Preprocessing


class Axis(Record):
    """One axis: what is resized, and at which of `outputs` places it begins; what is before and behind is black."""

    part: Part
    offset: int
    outputs: int


def axes_of(spec: Preprocessing, height: int, width: int) -> tuple[Axis, Axis]:
    """The vertical and the horizontal axis of a picture of that size."""
    target = resized_to(spec, height, width)
    tall, wide = _fitted(spec.resize, (height, width), target)
    return _middle(tall, target[0], spec.size[0]), _middle(wide, target[1], spec.size[1])


def resized_to(spec: Preprocessing, height: int, width: int) -> tuple[int, int]:
    """The size before the centre crop: the model's own unless `resize_to` says otherwise."""
    match spec.resize_to:
        case None:
            return spec.size
        case (tall, wide):
            return tall, wide
        case shorter if height <= width:
            return shorter, max(shorter, width * shorter // height)
        case shorter:
            return max(shorter, height * shorter // width), shorter


def middle(size: int, kept: int) -> int:
    """Where the centre crop begins (`tf.image.resize_with_crop_or_pad`, Keras's `CenterCrop`)."""
    return (size - kept) // 2


def middle_of(image: Image, size: tuple[int, int]) -> Image:
    """The centre crop of an image."""
    left, top = middle(image.width, size[1]), middle(image.height, size[0])
    return image.crop((left, top, left + size[1], top + size[0]))


def _fitted(resize: str, size: tuple[int, int], target: tuple[int, int]) -> tuple[tuple[Part, int], tuple[Part, int]]:
    """The parts, whole, and where they begin in the target."""
    match resize:
        case "crop":
            return _cropped(size, target, 0), _cropped(size, target, 1)
        case "pad":
            return _padded(size, target, 0), _padded(size, target, 1)
        case "pad-resize":
            return _bordered(size, target, 0), _bordered(size, target, 1)
    first, second = (Part(n, 0, n, m, 0, m) for n, m in zip(size, target, strict=True))
    return (first, 0), (second, 0)


def _proportional(size: tuple[int, int], target: tuple[int, int], axis: int) -> int:
    """This axis' length that the other one's asks for, in float32 as Keras computes it, truncated."""
    other = 1 - axis
    return int(single(single(size[other] * target[axis]) / target[other]))


def _cropped(size: tuple[int, int], target: tuple[int, int], axis: int) -> tuple[Part, int]:
    """`smart_resize`, and `Resizing(crop_to_aspect_ratio=True)`."""
    kept = max(min(size[axis], _proportional(size, target, axis)), 1)
    return Part(size[axis], (size[axis] - kept) // 2, kept, target[axis], 0, target[axis]), 0


def _bordered(size: tuple[int, int], target: tuple[int, int], axis: int) -> tuple[Part, int]:
    """`Resizing(pad_to_aspect_ratio=True)`: black borders first, then the resize."""
    border = (max(size[axis], _proportional(size, target, axis)) - size[axis]) // 2
    return Part(size[axis], -border, size[axis] + 2 * border, target[axis], 0, target[axis]), 0


def _padded(size: tuple[int, int], target: tuple[int, int], axis: int) -> tuple[Part, int]:
    """`tf.image.resize_with_pad`: the resize first, then black borders; both rounded down."""
    ratio = max(single(size[0] / target[0]), single(size[1] / target[1]))
    exact = single(size[axis] / ratio)
    outputs = min(max(math.floor(exact), 1), target[axis])
    offset = max(0, math.floor(single(target[axis] - exact) / 2))
    return Part(size[axis], 0, size[axis], outputs, 0, outputs), min(offset, target[axis] - outputs)


def _middle(fitted: tuple[Part, int], target: int, kept: int) -> Axis:
    """Keep the middle of the target only."""
    part, offset = fitted
    first = middle(target, kept)
    begin, end = max(0, first - offset), min(part.outputs, first + kept - offset)
    moved = Part(part.length, part.first, part.size, part.outputs, begin, max(0, end - begin))
    return Axis(moved, max(0, offset - first), kept)
