"""Where the model's input lies in the picture: held against the pixels that each pipeline really makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier.pictures.covered import covered
from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from classifier.pictures.preprocessing import Preprocessing
from tests.support.pictures import encoded, exif

SIZES = {"tall": (120, 251), "wide": (301, 90), "square": (128, 128)}
SPECS: dict[str, dict[str, Any]] = {
    "stretch": {"filter": "bilinear"},
    "crop": {"resize": "crop", "filter": "bilinear"},
    "pad": {"resize": "pad", "filter": "bilinear"},
    "crop of a larger": {"resize_to": [60, 80], "filter": "bilinear"},
    "crop of the shorter side": {"resize_to": 80, "filter": "bilinear"},
    "pad, then crop": {"resize": "pad", "resize_to": [80, 80], "filter": "bilinear"},
    "tensorflow stretch": {"pixels": "tensorflow"},
    "tensorflow crop": {"pixels": "tensorflow", "resize": "crop"},
    "tensorflow pad": {"pixels": "tensorflow", "resize": "pad"},
    "tensorflow pad-resize": {"pixels": "tensorflow", "resize": "pad-resize"},
    "tensorflow crop of the shorter side": {"pixels": "tensorflow", "resize_to": 72},
    "opencv": {"pixels": "opencv"},
}
HEIGHT, WIDTH = 48, 64


def spec_of(name: str) -> Preprocessing:
    return Preprocessing.from_json({"size": [HEIGHT, WIDTH], **SPECS[name]}, (None, None, 3))


def ramp(width: int, height: int) -> Image.Image:
    """Red says how far right a pixel is, green how far down, from 30 to 230; blue, that it is the picture."""
    y, x = np.mgrid[0:height, 0:width]
    bands = [30 + 200 * (x + 0.5) / width, 30 + 200 * (y + 0.5) / height, np.full(x.shape, 255)]
    return Image.fromarray(np.stack(bands, -1).round().astype(np.uint8))


def places(data: bytes, spec: Preprocessing) -> Any:
    """For each pixel of the input where it comes from, (x, y) in fractions of the picture; NaN in black borders."""
    limits = ImageLimits()
    array = spec.to_array(decode(inspect(data, limits), spec, limits).pixels)
    pixels = np.array(array, np.float64)[0]
    found = (pixels[..., :2] - 30) / 200
    found[pixels[..., 2] < 254] = np.nan
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SPECS)
def test_the_box_is_what_the_input_shows(name: str, size: str) -> None:
    width, height = SIZES[size]
    spec = spec_of(name)
    found = places(encoded(ramp(width, height), "PNG"), spec)
    tall, wide = covered(spec, width, height)
    for axis, along, length in ((wide, 0, WIDTH), (tall, 1, HEIGHT)):
        lines = found[HEIGHT // 2, :, 0] if along == 0 else found[:, WIDTH // 2, 1]
        share = (np.arange(length) + 0.5) / length
        inside = (share > axis.input[0]) & (share < axis.input[1])
        assert np.abs(np.isnan(lines).astype(int) - ~inside).sum() <= 2  # a border's own pixel may be blended
        position = (share - axis.input[0]) / (axis.input[1] - axis.input[0])
        expected = axis.picture[0] + position * (axis.picture[1] - axis.picture[0])
        np.testing.assert_allclose(lines[inside & ~np.isnan(lines)], expected[inside & ~np.isnan(lines)], atol=0.02)


def test_a_turned_picture_is_measured_upright() -> None:
    spec = spec_of("crop")
    data = encoded(ramp(90, 301).transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif(6))
    found = places(data, spec)
    _, wide = covered(spec, 90, 301)
    assert (found[HEIGHT // 2, 0, 0], found[HEIGHT // 2, -1, 0]) == pytest.approx((0.01, 0.99), abs=0.02)
    assert wide.picture == (0, 1)


def test_what_rounding_leaves_nothing_of_is_taken_for_the_whole() -> None:
    for name in SPECS:
        for axis in covered(spec_of(name), 1, 9000) + covered(spec_of(name), 9000, 1):
            assert 0 <= axis.picture[0] < axis.picture[1] <= 1
            assert 0 <= axis.input[0] < axis.input[1] <= 1 + 1e-9
