"""`pixels: opencv` against OpenCV itself: imread's decoders and resize's filters on forty pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from classifier.pictures.preprocessing import FILTERS
from tests.support.pictures import encoded
from tests.support.pixel_pictures import pixel_pictures
from tests.support.preprocessed import preprocessed

cv2 = pytest.importorskip("cv2")

FLAGS = {
    "linear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
}
MOST = {"linear": 1, "nearest": 0, "area": 1, "cubic": 1}
"""Levels of 255: OpenCV's own arithmetic is fixed-point, and another on each machine."""


def read(data: bytes, flags: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    assert picture is not None
    return np.asarray(picture)


@pytest.mark.parametrize("name", FILTERS["opencv"])
def test_every_filter_gives_the_pixels_of_opencv(name: str) -> None:
    wrong = {}
    for picture, data in pixel_pictures().items():
        whole = read(data, cv2.IMREAD_COLOR)
        for height, width in ((96, 80), (224, 260)):
            wanted = cv2.resize(whole, (width, height), interpolation=FLAGS[name]).astype(np.float32)
            got = preprocessed(data, (height, width), pixels="opencv", filter=name, color="bgr")
            if (difference := np.abs(got - wanted).max()) > MOST[name]:
                wrong[picture, height] = difference
    assert wrong == {}


def test_area_that_enlarges_takes_one_sample_where_the_place_is_whole() -> None:
    noise = np.random.default_rng(4).integers(0, 256, (162, 56, 3), dtype=np.uint8)
    for size in ((396, 232), (324, 112), (500, 57)):
        wanted = cv2.resize(noise, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
        got = preprocessed(encoded(Image.fromarray(noise), "PNG"), size, pixels="opencv", filter="area")
        assert np.abs(got - wanted).max() <= 1, size


def test_gray_and_scales_follow() -> None:
    for picture, data in pixel_pictures().items():
        wanted = cv2.resize(read(data, cv2.IMREAD_GRAYSCALE), (80, 96), interpolation=cv2.INTER_NEAREST)
        got = preprocessed(data, (96, 80), pixels="opencv", filter="nearest", color="grayscale")[..., 0]
        assert np.abs(got - wanted).max() <= (picture == "PNG of 16 bits"), picture
    data = pixel_pictures()["PNG"]
    whole = cv2.resize(read(data, cv2.IMREAD_COLOR), (80, 96), interpolation=cv2.INTER_NEAREST)
    got = preprocessed(data, (96, 80), pixels="opencv", filter="nearest", color="rgb", scale="unit")
    assert (got == whole[..., ::-1].astype(np.float32) / np.float32(255)).all()
