"""Decoding: the right pixels of awkward pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.support import pictures
from tests.support.decoding import OPAQUE, WHITE, decode, encoded, full_size, same


@pytest.mark.parametrize("name", OPAQUE)
def test_opaque_picture_gives_what_plain_pillow_gives(name: str) -> None:
    plain = pictures.decoded(OPAQUE[name])
    assert same(full_size(OPAQUE[name]), plain.convert("RGB"))
    assert same(full_size(OPAQUE[name], "L"), plain.convert("L"))


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_upright(name: str, orientation: int) -> None:
    data = encoded(name, exif=pictures.exif(orientation))
    assert same(full_size(data), ImageOps.exif_transpose(pictures.decoded(data)))


def test_size_in_the_reply_is_the_upright_one() -> None:
    done = decode(encoded("JPEG", exif=pictures.exif(6)))
    assert (done.format, done.width, done.height, len(done.pixels)) == ("JPEG", 47, 61, 20 * 30 * 3)


def half_clear(mode: str) -> Image.Image:
    image = pictures.photo(mode="RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image.convert(mode)


TRANSPARENT: dict[str, bytes] = {
    "RGBA PNG": pictures.encoded(half_clear("RGBA"), "PNG"),
    "gray PNG with alpha": pictures.encoded(half_clear("LA"), "PNG"),
    "RGBA WebP": pictures.encoded(half_clear("RGBA"), "WEBP", lossless=True),
    "RGBA TIFF": pictures.encoded(half_clear("RGBA"), "TIFF"),
    "PNG with one clear palette entry": encoded("PNG", "P", transparency=pictures.photo(mode="P").getpixel((5, 5))),
    "PNG with a palette of alphas": encoded("PNG", "P", transparency=bytes(range(256))),
    "PNG with a clear colour": encoded("PNG", transparency=pictures.photo().getpixel((5, 5))),
    "PNG with a clear gray": encoded("PNG", "L", transparency=pictures.photo(mode="L").getpixel((5, 5))),
    "PNG of one bit with a clear one": encoded("PNG", "1", transparency=0),
    "GIF with a clear index": encoded("GIF", transparency=3),
    "GIF with a clear border": pictures.offset_gif(transparent=True),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparency_is_laid_over_white(name: str) -> None:
    layer = pictures.decoded(TRANSPARENT[name]).convert("RGBA")
    assert layer.getchannel("A").getextrema() != (255, 255)
    wanted = Image.alpha_composite(Image.new("RGBA", layer.size, WHITE), layer).convert("RGB")
    ours = np.asarray(full_size(TRANSPARENT[name]), dtype=int)
    assert np.abs(ours - np.asarray(wanted, dtype=int)).max() <= 1  # Pillow's two ways of blending round differently
    gray = np.asarray(full_size(TRANSPARENT[name], "L"), dtype=int)
    assert np.abs(gray - np.asarray(wanted.convert("L"), dtype=int)).max() <= 1


def test_gif_frame_that_does_not_cover_the_screen_lies_on_white_where_clear() -> None:
    ours = full_size(pictures.offset_gif(transparent=True))
    assert (ours.getpixel((0, 0)), ours.getpixel((3, 3))) == (WHITE, (255, 0, 0))


def test_gray_of_16_bits_keeps_its_shades() -> None:
    values = np.linspace(0, 65535, 61 * 47).astype(np.uint16).reshape(47, 61)
    assert (np.asarray(full_size(pictures.png_16(values), "L")) == values >> 8).all()
    assert (np.asarray(full_size(pictures.png_16(values)))[..., 1] == values >> 8).all()


@pytest.mark.parametrize("name", ["TIFF", "PPM"])
def test_gray_of_16_bits_keeps_its_shades_in_other_formats(name: str) -> None:
    values = np.linspace(0, 65535, 61 * 47).astype(np.uint16).reshape(47, 61)
    data = pictures.encoded(Image.fromarray(values), name)
    assert (np.asarray(full_size(data, "L")) == values >> 8).all()


def test_clear_gray_of_16_bits_is_compared_in_full() -> None:
    values = np.array([[0x1234, 0x1235, 0xFF00]])
    data = pictures.with_png_chunks(pictures.png_16(values), pictures.png_chunk(b"tRNS", b"\x12\x34"))
    assert list(full_size(data, "L").tobytes()) == [255, 0x12, 0xFF]


def test_floating_point_tiff_of_0_to_1_is_scaled() -> None:
    values = np.linspace(0, 1, 61 * 47, dtype=np.float32).reshape(47, 61)
    ours = np.asarray(full_size(pictures.encoded(Image.fromarray(values), "TIFF"), "L"))
    assert (ours.min(), ours.max()) == (0, 255)
    assert np.abs(ours - values * 255).max() <= 1


def test_jpeg_above_25_megapixels_is_reduced_by_libjpeg() -> None:
    data = pictures.encoded(pictures.photo().resize((5001, 5000)), "JPEG")
    done = decode(data, size=(50, 50), filter="bilinear")
    reference = Image.open(io.BytesIO(data))
    reference.draft(None, (2500, 2500))
    assert (done.width, done.height) == (5001, 5000)
    assert done.pixels == reference.resize((50, 50), Image.Resampling.BILINEAR).tobytes()


def test_fast_decode_keeps_twice_the_size_that_is_asked_for() -> None:
    data = pictures.encoded(pictures.photo(400, 320), "JPEG")
    for size, reduced in (((40, 50), (100, 80)), ((41, 50), (200, 160)), ((160, 200), (400, 320))):
        reference = Image.open(io.BytesIO(data))
        reference.draft(None, reduced)
        assert reference.size == reduced
        wanted = reference.resize(size[::-1], Image.Resampling.BILINEAR).tobytes()
        assert decode(data, size=size, filter="bilinear", fast_decode=True).pixels == wanted


def test_thin_strips_are_resized_in_every_way() -> None:
    for size in ((1, 5000), (5000, 1)):
        data = pictures.encoded(pictures.photo(*size), "PNG")
        for resize in ("stretch", "crop", "pad"):
            assert len(decode(data, resize=resize, filter="lanczos").pixels) == 20 * 30 * 3


def test_padding_centres_the_whole_picture_on_black() -> None:
    data = pictures.encoded(Image.new("RGB", (40, 20), (10, 20, 30)), "PNG")
    ours = np.frombuffer(decode(data, size=(30, 30), resize="pad").pixels, np.uint8).reshape(30, 30, 3)
    assert (ours[:7] == 0).all()
    assert (ours[7:22] == (10, 20, 30)).all()
    assert (ours[22:] == 0).all()
