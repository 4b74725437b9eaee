"""The pixels of `tf.image.resize` and of what is built on it: `image_dataset_from_directory`, `layers.Resizing`.

Nearest and bilinear are TensorFlow's to the bit, the other filters within 0.01 of 255: docs/reference has the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.pictures.pipelines import axes
from classifier.pictures.pipelines.floats import along_columns, along_rows, floats, lerp, weighted
from classifier.pictures.pipelines.gather import Pick
from classifier.pictures.pipelines.geometry import Axis, axes_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from classifier.pictures.pipelines.axes import Part, Taps
    from classifier.pictures.pipelines.samples import Samples
    from classifier.pictures.preprocessing import Preprocessing

ROWS_AT_ONCE = 64
"""Rows of output that are made together: their planes stay in the processor's second cache."""
_PILLOW = {"bilinear": "BILINEAR", "bicubic": "BICUBIC", "lanczos3": "LANCZOS"}
"""Antialiased kernels that Pillow has, on float planes, in one step of C."""


def resized(samples: Samples, spec: Preprocessing) -> list[Image]:
    """The model's input as float planes of 0 to 255, one a channel."""
    tall, wide = axes_of(spec, samples.height, samples.width)
    if not tall.part.kept or not wide.part.kept:
        return [_canvas(tall, wide) for _ in range(spec.channels)]
    if spec.filter == "nearest":
        planes = samples.at([axes.nearest(tall.part)], [axes.nearest(wide.part)])[0]
    elif spec.filter == "bilinear" and not spec.antialias:
        planes = _bilinear(samples, axes.bilinear(tall.part), axes.bilinear(wide.part))
    else:
        planes = [_filtered(plane, spec, tall.part, wide.part) for plane in samples.whole().split()]
    return [_placed(floats(plane), tall, wide) for plane in planes]


def _bilinear(samples: Samples, tall: axes.Pair, wide: axes.Pair) -> list[Image]:
    from PIL import Image as Pillow

    height, width = len(tall.fraction), len(wide.fraction)
    planes: list[Image] = []
    for top in range(0, height, ROWS_AT_ONCE):
        end = min(height, top + ROWS_AT_ONCE)
        rows = _cut(tall.low, top, end), _cut(tall.high, top, end)
        across, down = along_columns(wide.fraction, 2 * (end - top)), along_rows(tall.fraction[top:end], width)
        left, right = samples.at(rows, [wide.low, wide.high])
        planes = planes or [Pillow.new("F", (width, height)) for _ in left]
        for plane, one, other in zip(planes, left, right, strict=True):
            both = lerp(floats(one), floats(other), across)
            upper, lower = both.crop((0, 0, width, end - top)), both.crop((0, end - top, width, 2 * (end - top)))
            plane.paste(lerp(upper, lower, down), (0, top))
    return planes


def _cut(rows: Pick, first: int, end: int) -> Pick:
    blank = tuple(place - first for place in rows.blank if first <= place < end)
    return Pick(rows.indices[first:end], rows.step, rows.start, (), blank)


def _filtered(plane: Image, spec: Preprocessing, tall: Part, wide: Part) -> Image:
    if spec.antialias and spec.filter in _PILLOW and tall.first >= 0 and wide.first >= 0:
        from PIL.Image import Resampling

        box = (wide.first, tall.first, wide.first + wide.size, tall.first + tall.size)
        done = floats(plane).resize((wide.outputs, tall.outputs), Resampling[_PILLOW[spec.filter]], box)
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
