"""The pixels of `cv2.resize` after `cv2.imread`: rounded to 8 bits, within one level of OpenCV's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.pictures.pipelines import axes
from classifier.pictures.pipelines.floats import along_columns, along_rows, combined, floats, lerp, weighted
from classifier.pictures.pipelines.geometry import axes_of
from classifier.pictures.pipelines.samples import Plain

if TYPE_CHECKING:
    from PIL.Image import Image

    from classifier.pictures.pipelines.axes import Part, Taps
    from classifier.pictures.preprocessing import Preprocessing


def resized(image: Image, spec: Preprocessing) -> Image:
    """An image of 8 bits, L or RGB, resized to the model's size."""
    from PIL import Image as Pillow

    tall, wide = (axis.part for axis in axes_of(spec, image.height, image.width))
    if spec.filter == "nearest":
        planes = Plain(image).at([axes.opencv_nearest(tall)], [axes.opencv_nearest(wide)])[0]
    elif spec.filter == "linear":
        planes = [_eight_bits(plane) for plane in _linear(image, axes.opencv_linear(tall), axes.opencv_linear(wide))]
    else:
        shrinks = tall.size >= tall.outputs and wide.size >= wide.outputs
        taps = _taps(spec.filter, tall, shrinks=shrinks), _taps(spec.filter, wide, shrinks=shrinks)
        planes = [_eight_bits(weighted(plane, *taps)) for plane in image.split()]
    return Pillow.merge(image.mode, planes) if len(planes) > 1 else planes[0]


def _linear(image: Image, tall: axes.Pair, wide: axes.Pair) -> list[Image]:
    height, width = len(tall.fraction), len(wide.fraction)
    across, down = along_columns(wide.fraction, 2 * height), along_rows(tall.fraction, width)
    left, right = Plain(image).at([tall.low, tall.high], [wide.low, wide.high])
    planes = []
    for one, other in zip(left, right, strict=True):
        both = lerp(floats(one), floats(other), across)
        upper, lower = both.crop((0, 0, width, height)), both.crop((0, height, width, 2 * height))
        planes.append(lerp(upper, lower, down))
    return planes


def _taps(name: str, part: Part, *, shrinks: bool) -> Taps:
    if name == "cubic":
        return axes.opencv_cubic(part)
    return axes.area(part) if shrinks else axes.opencv_area_enlarged(part)


def _eight_bits(plane: Image) -> Image:
    """Round, and cut off what a cubic kernel makes below 0 and above 255."""
    return combined(lambda v: v["plane"] + 0.5, plane=plane).convert("L")
