"""The parts of the pipelines: gathering at any indices, libjpeg's colours, standardisation, the centre crop."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier.pictures.pipelines.gather import Pick, gather_columns, gather_rows
from classifier.pictures.pipelines.samples import _MATRIX
from tests.support.pixel_pictures import detailed, pixel_pictures
from tests.support.preprocessed import preprocessed

PICTURE = pixel_pictures()["JPEG 4:2:0 (333, 217)"]


def test_columns_are_those_asked_for_whatever_the_step() -> None:
    chance = random.Random(5)
    for _ in range(300):
        width, count = chance.randint(1, 700), chance.randint(1, 300)
        step = np.float32(width) / np.float32(count)
        places = (np.arange(count, dtype=np.float32) + np.float32(0.5)) * step - np.float32(0.5)
        indices = tuple(int(place) for place in np.floor(places).clip(0, width - 1))
        pixels = np.random.default_rng(width).integers(0, 256, (3, width, 3), dtype=np.uint8)
        taken = gather_columns(Image.fromarray(pixels), Pick.of(indices, float(step), -0.5))
        assert (np.asarray(taken) == pixels[:, list(indices)]).all()


def test_rows_of_several_images_follow_each_other() -> None:
    first, second = detailed(9, 7), detailed(9, 7).transpose(Image.Transpose.ROTATE_180)
    wanted = np.concatenate([np.asarray(first)[[6, 0, 0]], np.asarray(second)[[6, 0, 0]]])
    assert (np.asarray(gather_rows([first, second], [6, 0, 0])) == wanted).all()


def test_colours_are_libjpegs_for_every_luma_and_chroma() -> None:
    luma, blue, red = np.meshgrid(np.arange(256), np.arange(256), np.arange(0, 256, 5), indexing="ij")
    colours = np.stack([luma, blue, red], -1).reshape(256, -1, 3)
    image = Image.fromarray(colours.astype(np.uint8))
    y, cb, cr = (colours[..., channel] for channel in range(3))
    wanted = (
        y + ((91881 * (cr - 128) + 32768) >> 16),
        y + ((-22554 * (cb - 128) - 46802 * (cr - 128) + 32768) >> 16),
        y + ((116130 * (cb - 128) + 32768) >> 16),
    )
    assert (np.asarray(image.convert("RGB", _MATRIX)) == np.stack(wanted, -1).clip(0, 255)).all()


@pytest.mark.tensorflow
@pytest.mark.parametrize("pixels", ["keras", "tensorflow"])
def test_samplewise_standardisation_is_imagedatagenerators(pixels: str) -> None:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    plain = preprocessed(PICTURE, (48, 40), pixels=pixels, scale="unit")
    for name, arguments in (
        ("samplewise", {"samplewise_center": True, "samplewise_std_normalization": True}),
        ("samplewise_center", {"samplewise_center": True}),
        ("samplewise_std", {"samplewise_std_normalization": True}),
    ):
        wanted = ImageDataGenerator(**arguments).standardize(plain.copy())
        got = preprocessed(PICTURE, (48, 40), pixels=pixels, scale="unit", standardize=name)
        assert np.abs(got - wanted).max() < 1e-5, name


def test_resize_to_cuts_the_middle_out() -> None:
    whole = Image.open(io.BytesIO(PICTURE)).convert("RGB")
    larger = np.asarray(whole.resize((67, 61), Image.Resampling.BICUBIC), np.float32)
    got = preprocessed(PICTURE, (48, 40), filter="bicubic", resize_to=[61, 67])
    assert (got == larger[6:54, 13:53]).all()
    shorter = np.asarray(whole.resize((92, 60), Image.Resampling.BICUBIC), np.float32)
    assert (preprocessed(PICTURE, (48, 40), filter="bicubic", resize_to=60) == shorter[6:54, 26:66]).all()


def test_what_a_picture_apart_is_decoded_to_is_the_same() -> None:
    from classifier.pictures.apart import decode_apart
    from classifier.pictures.headers.inspection import inspect
    from classifier.pictures.headers.picture import ImageLimits
    from classifier.pictures.preprocessing import Preprocessing

    fields: dict[str, Any] = {"pixels": "tensorflow", "scale": "tf", "resize_to": [64, 64], "standardize": "per_image"}
    spec = Preprocessing.from_json({"size": [48, 40], **fields}, (None, None, None))
    limits = ImageLimits()
    apart = decode_apart(inspect(PICTURE, limits), spec, limits)
    assert (np.asarray(spec.to_array(apart.pixels))[0] == preprocessed(PICTURE, (48, 40), **fields)).all()
