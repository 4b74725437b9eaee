"""Decoding: pictures that are truncated, damaged or flooded are refused, or decoded without an accident."""

from __future__ import annotations

import io
import random
import zlib

import pytest

from classifier.errors import ImageError
from classifier.pictures import render
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from tests.support import pictures
from tests.support.decoding import LIMITS, OPAQUE, decode, full_size, same


@pytest.mark.parametrize("name", ["JPEG", "progressive JPEG", "PNG", "GIF", "WebP", "BMP", "TIFF"])
@pytest.mark.parametrize("tenths", range(1, 10))
def test_truncated_picture_is_refused(name: str, tenths: int) -> None:
    with pytest.raises(ImageError):
        decode(OPAQUE[name][: len(OPAQUE[name]) * tenths // 10])


@pytest.mark.parametrize("name", ["JPEG", "WebP"])
def test_picture_without_its_last_byte_is_refused(name: str) -> None:
    with pytest.raises(ImageError):
        decode(OPAQUE[name][:-1])


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_flood_that_pillow_reads_slowly_is_cut_away(name: str) -> None:
    """Ten megabytes of fill bytes between JPEG segments cost Pillow half a minute."""
    noise = b"\xff" * 9_000_000 if name == "JPEG" else pictures.png_chunk(b"prVt", bytes(3_900_000))
    data = (pictures.with_jpeg_segments if name == "JPEG" else pictures.with_png_chunks)(OPAQUE[name], noise)
    picture = inspect(data, LIMITS)
    assert len(picture.data) <= len(OPAQUE[name])
    assert same(full_size(data), full_size(OPAQUE[name]))


def test_long_run_inside_the_picture_data_is_read_once() -> None:
    """Fed in pieces, libjpeg would get all of it again with each piece: seconds."""
    data = OPAQUE["JPEG"][:-2] + b"\xff" * 9_000_000 + b"\0\xff\xd9"
    reads: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            reads.append(len(got := super().read(size)))
            return got

    picture = inspect(data, LIMITS)
    plugin = render._open(picture, Counting(picture.data))
    plugin.load()
    assert sum(reads) < 2 * len(data)
    assert sum(1 for size in reads if size > 60_000) == 1


def flipped(data: bytes, seed: int) -> bytes:
    chance = random.Random(seed)
    damaged = bytearray(data)
    for _ in range(chance.choice([1, 3, 30])):
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
    return bytes(damaged)


@pytest.mark.parametrize(
    "name", ["JPEG", "progressive JPEG", "PNG with a palette", "GIF", "WebP", "BMP with a palette"]
)
def test_damaged_picture_is_decoded_or_refused_but_never_an_accident(name: str) -> None:
    for seed in range(200):
        try:
            done = decode(flipped(OPAQUE[name], seed), ImageLimits())
        except ImageError:
            continue
        assert len(done.pixels) == 20 * 30 * 3


def test_palette_that_is_missing_is_a_broken_picture() -> None:
    with pytest.raises(ImageError, match="PNG decoder"):
        decode(pictures.png(9, 9, 8, 3, (b"\0" + bytes(9)) * 9))


def test_metadata_that_pillow_chokes_on_does_not_matter() -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(3_000_000))
    data = pictures.with_png_chunks(OPAQUE["PNG"], pictures.png_chunk(b"zTXt", bomb))
    with pytest.raises(ValueError, match="too large"):
        pictures.decoded(data)
    assert same(full_size(data), pictures.photo())
