"""The parts of the pipelines: gathering at any indices, libjpeg's colours, standardisation, the centre crop."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier.pictures.pipelines import axes, samples
from classifier.pictures.pipelines.gather import Pick, gather_rows
from classifier.pictures.pipelines.samples import FastJpeg, Plain
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
        (taken,) = Plain(Image.fromarray(pixels)).at([Pick.span(0, 3)], [Pick.of(indices, float(step), -0.5)])
        assert (np.asarray(taken) == pixels[:, list(indices)]).all()


def test_rows_of_several_images_follow_each_other() -> None:
    first, second = detailed(9, 7), detailed(9, 7).transpose(Image.Transpose.ROTATE_180)
    wanted = np.concatenate([np.asarray(first)[[6, 0, 0]], np.asarray(second)[[6, 0, 0]]])
    assert (np.asarray(gather_rows([first, second], [6, 0, 0])) == wanted).all()


def test_colours_are_libjpegs_for_every_luma_and_chroma() -> None:
    luma, blue, red = np.meshgrid(np.arange(256), np.arange(256), np.arange(0, 256, 5), indexing="ij")
    y, cb, cr = (plane.reshape(256, -1) for plane in (luma, blue, red))
    assert (np.asarray(FastJpeg(_image(y, cb, cr), 1, 1).whole()) == _colours(y, cb, cr)).all()


FACTORS = ((1, 1), (2, 1), (2, 2), (1, 2), (4, 1), (2, 4))
STRETCHES = ((127, 129, 1, 1), (250, 129, 2, 2), (40_001, 3, 2, 2), (40_001, 3, 1, 1))
"""Width, height and factors of pictures that fill the programs' input to the last byte, and whose rows do not fit."""


def test_chroma_is_smoothed_as_libjpeg_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Odd and tiny sizes, all kinds of chroma, edges of crops: whole, and at the rows and columns of a resize."""
    chance = random.Random(7)
    for width, height, across, down in STRETCHES:
        _check(chance, width, height, across, down)
    for at_once, few in ((samples.SAMPLES_AT_ONCE, samples.FEW), (300, samples.FEW), (300, 0)):
        monkeypatch.setattr(samples, "SAMPLES_AT_ONCE", at_once)
        monkeypatch.setattr(samples, "FEW", few)
        samples._strips.cache_clear()
        for _ in range(60):
            _check(chance, chance.randint(1, 90), chance.randint(1, 90), *chance.choice(FACTORS))
    samples._strips.cache_clear()


def _check(chance: random.Random, width: int, height: int, across: int, down: int) -> None:
    numbers = np.random.default_rng(chance.randint(0, 1 << 30))
    luma = numbers.integers(0, 256, (height, width))
    stored = [numbers.integers(0, 256, (-(-height // down), -(-width // across))) for _ in range(2)]
    replicated = [plane.repeat(down, 0).repeat(across, 1)[:height, :width] for plane in stored]
    jpeg = FastJpeg(_image(luma, *replicated), across, down)
    wanted = _colours(luma, *[_smoothed(plane, across, down, width)[:height, :width] for plane in stored])
    case = (width, height, across, down)
    assert (np.asarray(jpeg.whole()) == wanted).all(), case
    first, outputs = chance.randint(0, height - 1), chance.randint(1, 90)
    tall = axes.bilinear(axes.Part(height, first, chance.randint(1, height - first), outputs, 0, outputs))
    wide = axes.bilinear(axes.Part(width, 0, width, 50, 0, 50))
    rows = [*tall.low.indices, *tall.high.indices]
    for columns, found in zip(
        (wide.low, wide.high), jpeg.at([tall.low, tall.high], [wide.low, wide.high]), strict=True
    ):
        assert (np.asarray(found) == wanted[rows][:, list(columns.indices)]).all(), (case, first, outputs)


def _image(*planes: Any) -> Image.Image:
    mixed = np.stack(planes, -1).astype(np.uint8)
    return Image.frombytes("YCbCr", mixed.shape[1::-1], mixed.tobytes())


def _smoothed(plane: Any, across: int, down: int, width: int) -> Any:
    """Upsampled as h2v1_, h2v2_ and h1v2_fancy_upsample and int_upsample of jdsample.c do, in whole numbers."""
    fancy = (across, down) == (1, 2) or (across == 2 and down <= 2 and width > 4)
    if not fancy or (across, down) == (1, 1):
        return plane.repeat(down, 0).repeat(across, 1)
    added, bits = {(2, 1): ((1, 2), 2), (1, 2): ((1, 2), 2), (2, 2): ((8, 7), 4)}[across, down]
    sums = plane if down == 1 else _between(plane, 0)
    sums = sums if across == 1 else _between(sums, 1)
    odd = np.arange(sums.shape[1])[None] % 2 if across == 2 else np.arange(sums.shape[0])[:, None] % 2
    return (sums + np.where(odd, added[1], added[0])) >> bits


def _between(plane: Any, axis: int) -> Any:
    """Three parts of each sample and one of the one before it, then of the one behind it."""
    last = plane.shape[axis] - 1
    before, behind = (plane.take(np.arange(last + 1) + by, axis, mode="clip") for by in (-1, 1))
    shape = [size * (2 if at == axis else 1) for at, size in enumerate(plane.shape)]
    return np.stack([3 * plane + before, 3 * plane + behind], axis + 1).reshape(shape)


def _colours(y: Any, cb: Any, cr: Any) -> Any:
    """jdcolor.c."""
    wanted = (
        y + ((91881 * (cr - 128) + 32768) >> 16),
        y + ((-22554 * (cb - 128) - 46802 * (cr - 128) + 32768) >> 16),
        y + ((116130 * (cb - 128) + 32768) >> 16),
    )
    return np.stack(wanted, -1).clip(0, 255)


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
