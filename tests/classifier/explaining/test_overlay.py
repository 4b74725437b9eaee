"""The file that shows a heat map: a right PNG by another decoder, and the picture of the decoding that was done."""

from __future__ import annotations

import base64
import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier.explaining.overlay import overlay
from classifier.explaining.png import as_png
from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from classifier.pictures.preprocessing import Preprocessing
from classifier.pictures.shown import MOST_PIXELS, shown_size
from tests.support.pictures import encoded, photo

LIMITS = ImageLimits()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (256, 3), (83, 61)])
def test_a_png_has_the_images_pixels(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), np.uint8)
    with Image.open(io.BytesIO(as_png(Image.fromarray(pixels)))) as opened:
        opened.verify()
    with Image.open(io.BytesIO(as_png(Image.fromarray(pixels)))) as opened:
        assert (opened.format, opened.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(opened), pixels)


@pytest.mark.parametrize("size", [(400, 534), (3000, 100), (245, 244), (3, 5), (3000, 4000)])
def test_what_is_shown_keeps_its_shape_and_never_grows(size: tuple[int, int]) -> None:
    width, height = shown_size(*size)
    assert width * height <= MOST_PIXELS * 1.01
    assert (width, height) == size or width / height == pytest.approx(size[0] / size[1], rel=0.01)


def shown(picture: Image.Image, spec: Preprocessing, **options: Any) -> Any:
    """The picture under a map of zeros."""
    checked = inspect(encoded(picture, "PNG", **options), LIMITS)
    deadline = time.monotonic() + 60
    seen = decode(checked, spec, LIMITS, deadline, show=True)
    data = overlay(checked, seen, [0, 0, 1, 1], [[0.0]], LIMITS, deadline)
    return seen.shown, np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1"])
def test_one_decoding_is_for_the_model_and_for_people(mode: str) -> None:
    picture = photo().resize((700, 500)).convert(mode)
    once, pixels = shown(picture, Preprocessing(size=(32, 48)))
    assert once is not None
    assert pixels.shape[:2] == shown_size(700, 500)[::-1]
    expected = picture.convert("RGB").resize(pixels.shape[1::-1], Image.Resampling.BOX)
    assert np.abs(pixels - np.asarray(expected)).max() <= 1


def test_where_the_model_sees_other_pixels_it_is_decoded_once_more() -> None:
    picture = photo().resize((700, 500))
    once, pixels = shown(picture, Preprocessing(size=(32, 48), pixels="tensorflow", filter="bilinear"))
    assert once is None
    expected = picture.resize(pixels.shape[1::-1], Image.Resampling.BILINEAR)
    assert np.abs(pixels - np.asarray(expected)).max() <= 1


def test_a_jpeg_that_was_decoded_smaller_than_it_is_shown_is_decoded_once_more() -> None:
    checked = inspect(encoded(photo().resize((1200, 900)), "JPEG"), LIMITS)
    spec = Preprocessing(size=(20, 20), fast_decode=True)
    assert decode(checked, spec, LIMITS, show=True).shown is None
    assert decode(checked, Preprocessing(size=(20, 20)), LIMITS, show=True).shown is not None
    assert decode(checked, Preprocessing(size=(20, 20)), LIMITS).shown is None
