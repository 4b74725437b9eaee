"""The pixels of `tf.image.resize` and of what is built on it: `image_dataset_from_directory`, `layers.Resizing`.

Nearest and bilinear are TensorFlow's to the bit, the other filters within 0.01 of 255: docs/reference has the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.arrays import FLOAT_BYTES
from classifier.pictures.pipelines import axes
from classifier.pictures.pipelines.bilinear import interpolated
from classifier.pictures.pipelines.finish import finished, finished_mixed
from classifier.pictures.pipelines.floats import floats, weighted
from classifier.pictures.pipelines.gather import raw
from classifier.pictures.pipelines.geometry import Axis, axes_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from classifier.pictures.pipelines.axes import Part, Taps
    from classifier.pictures.pipelines.samples import Samples
    from classifier.pictures.preprocessing import Preprocessing

_PILLOW = {"bilinear": "BILINEAR", "bicubic": "BICUBIC", "lanczos3": "LANCZOS"}
"""Antialiased kernels that Pillow has, on float planes, in one step of C."""


def picture(samples: Samples, spec: Preprocessing) -> bytes | bytearray:
    """The model's input: height x width x channels float32, with the channels' order, scale and standardisation."""
    tall, wide = axes_of(spec, samples.height, samples.width)
    if tall.part.kept and wide.part.kept and not spec.antialias and spec.filter in {"bilinear", "nearest"}:
        made = _nearest if spec.filter == "nearest" else _bilinear
        return finished_mixed(_mixed(made(samples, tall.part, wide.part), tall, wide, spec.channels), spec)
    return finished(_planes(samples, spec, tall, wide), spec)


def _bilinear(samples: Samples, tall: Part, wide: Part) -> bytearray:
    return interpolated(samples, axes.bilinear(tall), axes.bilinear(wide))


def _nearest(samples: Samples, tall: Part, wide: Part) -> bytearray:
    from PIL import Image as Pillow

    (image,) = samples.at([axes.nearest(tall)], [axes.nearest(wide)])
    mixed = Pillow.frombytes("L", (image.width * samples.channels, image.height), raw(image, image.mode))
    return bytearray(raw(floats(mixed), "F"))


def _planes(samples: Samples, spec: Preprocessing, tall: Axis, wide: Axis) -> list[Image]:
    """Float planes of 0 to 255, one a channel."""
    if not tall.part.kept or not wide.part.kept:
        return [_canvas(tall, wide) for _ in range(spec.channels)]
    planes = samples.whole().split()
    return [_placed(_filtered(plane, spec, tall.part, wide.part), tall, wide) for plane in planes]


def _mixed(numbers: bytearray, tall: Axis, wide: Axis, channels: int) -> bytearray:
    """Interleaved float32 put where they belong."""
    if (tall.part.kept, wide.part.kept) == (tall.outputs, wide.outputs):
        return numbers
    pixel = channels * FLOAT_BYTES
    canvas, length = bytearray(tall.outputs * wide.outputs * pixel), wide.part.kept * pixel
    for row in range(tall.part.kept):
        first = ((tall.offset + row) * wide.outputs + wide.offset) * pixel
        canvas[first : first + length] = numbers[row * length : (row + 1) * length]
    return canvas


def _filtered(plane: Image, spec: Preprocessing, tall: Part, wide: Part) -> Image:
    halved = tall.size >= 2 * tall.outputs and wide.size >= 2 * wide.outputs
    if spec.antialias and halved and spec.filter in _PILLOW and tall.first >= 0 and wide.first >= 0:
        from PIL.Image import Resampling

        # Cut out first: with a box Pillow's kernels see what is around it.
        box = (wide.first, tall.first, wide.first + wide.size, tall.first + tall.size)
        done = floats(plane.crop(box)).resize((wide.outputs, tall.outputs), Resampling[_PILLOW[spec.filter]])
        left, top = wide.kept_first, tall.kept_first
        return done.crop((left, top, left + wide.kept, top + tall.kept))
    return weighted(plane, _taps(spec, tall), _taps(spec, wide))


def _taps(spec: Preprocessing, part: Part) -> Taps:
    if spec.filter == "area":
        return axes.area(part)
    if spec.filter == "bicubic" and not spec.antialias:
        return axes.bicubic(part)
    return axes.spans(part, spec.filter, antialias=spec.antialias)


def _canvas(tall: Axis, wide: Axis) -> Image:
    from PIL import Image as Pillow

    return Pillow.new("F", (wide.outputs, tall.outputs))


def _placed(plane: Image, tall: Axis, wide: Axis) -> Image:
    if plane.size == (wide.outputs, tall.outputs):
        return plane
    canvas = _canvas(tall, wide)
    canvas.paste(plane, (wide.offset, tall.offset))
    return canvas
