"""From float planes to the model's input: order of channels, scale, standardisation, interleaved float32.

Operations and their order are those of Keras's numpy path and of the functions that `standardize` names.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Any

from classifier.pictures.pipelines.floats import combined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from classifier.pictures.preprocessing import Preprocessing

SAMPLEWISE_EPSILON = 1e-6
"""Added to the deviation by Keras's `ImageDataGenerator`."""


def finished(planes: Sequence[Image], spec: Preprocessing) -> bytes:
    """Planes in the order red, green, blue (or one of gray) as float32, height x width x channels."""
    if spec.reverses:
        planes = planes[::-1]
    scaled = _standardized([_scaled(plane, spec, channel) for channel, plane in enumerate(planes)], spec.standardize)
    numbers = [array("f", plane.tobytes()) for plane in scaled]
    mixed = numbers[0] * len(numbers)  # of the right length: each is replaced
    for channel, plane in enumerate(numbers):
        mixed[channel :: len(numbers)] = plane
    return mixed.tobytes()


def finished_mixed(numbers: bytearray, spec: Preprocessing) -> bytes | bytearray:
    """The same for numbers that are interleaved already, in the order red, green, blue."""
    from PIL import Image as Pillow

    plain = spec.standardize == "none" and not spec.reverses
    if plain and not spec.steps():
        return numbers
    (height, width), channels = spec.size, spec.channels
    if plain and all(len(scalars) == 1 for _, scalars in spec.steps()):
        return _scaled(Pillow.frombytes("F", (width * channels, height), numbers), spec, 0).tobytes()
    mixed = array("f", numbers)
    planes = [mixed[channel::channels].tobytes() for channel in range(channels)]
    return finished([Pillow.frombytes("F", (width, height), plane) for plane in planes], spec)


def _scaled(plane: Image, spec: Preprocessing, channel: int) -> Image:
    for operation, numbers in spec.steps():
        number = numbers[channel % len(numbers)]
        plane = _minus(plane, number) if operation == "subtract" else _over(plane, number)
    return plane


def _standardized(planes: list[Image], standardize: str) -> list[Image]:
    """`per_image`: tf.image.per_image_standardization; `samplewise*`: ImageDataGenerator's arguments of that name.

    Dividing by the deviation implies centring there, so `samplewise_std` is `samplewise`.
    """
    if standardize == "none":
        return planes
    middle = _mean(planes)
    centred = [_minus(plane, middle) for plane in planes]
    if standardize == "samplewise_center":
        return centred
    deviation = math.sqrt(_mean([combined(lambda v: v["plane"] * v["plane"], plane=plane) for plane in centred]))
    if standardize == "per_image":
        least = 1 / math.sqrt(len(planes) * planes[0].width * planes[0].height)
        return [_over(plane, max(deviation, least)) for plane in centred]
    return [_over(plane, deviation + SAMPLEWISE_EPSILON) for plane in centred]


def _mean(planes: Sequence[Image]) -> float:
    """The mean of all planes; a box of the whole plane is summed up in double precision by Pillow."""
    from PIL.Image import Resampling

    means: list[Any] = [plane.resize((1, 1), Resampling.BOX).getpixel((0, 0)) for plane in planes]
    return float(sum(means)) / len(means)


def _minus(plane: Image, number: float) -> Image:
    return combined(lambda v: v["plane"] - float(number), plane=plane)


def _over(plane: Image, number: float) -> Image:
    return combined(lambda v: v["plane"] / float(number), plane=plane)
