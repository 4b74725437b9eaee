"""The pixels of `cv2.resize` after `cv2.imread`: rounded to 8 bits, within one level of OpenCV's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.pictures.pipelines import axes
from classifier.pictures.pipelines.bilinear import interpolated
from classifier.pictures.pipelines.floats import combined, weighted
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
        return Plain(image).at([axes.opencv_nearest(tall)], [axes.opencv_nearest(wide)])[0]
    if spec.filter == "linear":
        numbers = interpolated(Plain(image), axes.opencv_linear(tall), axes.opencv_linear(wide))
        mixed = Pillow.frombytes("F", (wide.kept * spec.channels, tall.kept), numbers)
        return Pillow.frombytes(image.mode, (wide.kept, tall.kept), _eight_bits(mixed).tobytes())
    shrinks = tall.size >= tall.outputs and wide.size >= wide.outputs
    taps = _taps(spec.filter, tall, shrinks=shrinks), _taps(spec.filter, wide, shrinks=shrinks)
    planes = [_eight_bits(weighted(plane, *taps)) for plane in image.split()]
    return Pillow.merge(image.mode, planes) if len(planes) > 1 else planes[0]


def _taps(name: str, part: Part, *, shrinks: bool) -> Taps:
    if name == "cubic":
        return axes.opencv_cubic(part)
    return axes.area(part) if shrinks else axes.opencv_area_enlarged(part)


def _eight_bits(plane: Image) -> Image:
    """Round, and cut off what a cubic kernel makes below 0 and above 255."""
    return combined(lambda v: v["plane"] + 0.5, plane=plane).convert("L")
