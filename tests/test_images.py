"""Decoding: the right pixels of awkward pictures, the right errors for broken ones, and bounds for hostile ones."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import time
import zlib
from copy import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from classifier import decode_process, images
from classifier.errors import (
    ImageComplexityError,
    ImageDimensionsError,
    ImageError,
    ImageTimeoutError,
    OutOfTimeError,
)
from classifier.images import DecodedImage, ImageLimits, Picture
from classifier.preprocessing import Preprocessing
from classifier.settings import FORMATS
from tests import pictures

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = ImageLimits(formats=FORMATS)
WHITE = (255, 255, 255)


def decode(data: bytes, limits: ImageLimits = LIMITS, **wanted: Any) -> DecodedImage:
    picture = images.inspect(data, limits)
    return images.decode(picture, Preprocessing(**{"size": (20, 30), **wanted}), limits)


def full_size(data: bytes, mode: str = "RGB") -> Image.Image:
    """Our decoding without resizing."""
    picture = images.inspect(data, LIMITS)
    upright = (picture.height, picture.width) if picture.orientation < 5 else (picture.width, picture.height)
    if not picture.width:
        upright = pictures.decoded(data).size[::-1]
    spec = Preprocessing(size=upright, color="rgb" if mode == "RGB" else "grayscale")
    done = images.decode(picture, spec, LIMITS)
    assert (done.height, done.width) == upright
    return Image.frombytes(mode, upright[::-1], done.pixels)


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode and one.size == other.size and one.tobytes() == other.tobytes()


def encoded(image_format: str, mode: str = "RGB", **options: Any) -> bytes:
    return pictures.encoded(pictures.photo(mode=mode), image_format, **options)


OPAQUE: dict[str, bytes] = {
    "JPEG": encoded("JPEG"),
    "progressive JPEG": encoded("JPEG", progressive=True),
    "JPEG of 4:4:4": encoded("JPEG", subsampling=0),
    "gray JPEG": encoded("JPEG", "L"),
    "CMYK JPEG": encoded("JPEG", "CMYK"),
    "YCCK JPEG": pictures.adobe_ycck(pictures.photo()),
    "JPEG with a profile": encoded("JPEG", icc_profile=bytes(100_000)),
    "RGB JPEG": encoded("JPEG", keep_rgb=True),
    "MPO": encoded("MPO", save_all=True, append_images=[pictures.photo(mode="RGB")]),
    "PNG": encoded("PNG"),
    "gray PNG": encoded("PNG", "L"),
    "PNG of one bit": encoded("PNG", "1"),
    "PNG with a palette": encoded("PNG", "P"),
    "PNG with a palette of 4 bits": encoded("PNG", "P", bits=4),
    "PNG with opaque alpha": encoded("PNG", "RGBA"),
    "interlaced PNG": pictures.interlaced_png(pictures.photo()),
    "16-bit colour PNG": pictures.png_16(np.arange(47 * 61 * 3).reshape(47, 61, 3) * 7),
    "animated PNG": encoded("PNG", save_all=True, append_images=[pictures.photo(mode="L").convert("RGB")]),
    "GIF": encoded("GIF"),
    "gray GIF": encoded("GIF", "L"),
    "animated GIF": encoded("GIF", save_all=True, append_images=[pictures.photo(mode="L")] * 3),
    "GIF with an opaque offset frame": pictures.offset_gif(transparent=False),
    "WebP": encoded("WEBP"),
    "lossless WebP": encoded("WEBP", lossless=True),
    "animated WebP": encoded("WEBP", save_all=True, append_images=[pictures.photo(mode="L").convert("RGB")] * 3),
    "BMP": encoded("BMP"),
    "BMP with a palette": encoded("BMP", "P"),
    "BMP of one bit": encoded("BMP", "1"),
    "TIFF": encoded("TIFF"),
    "compressed TIFF": encoded("TIFF", compression="tiff_lzw"),
    "JPEG 2000": encoded("JPEG2000"),
    "AVIF": encoded("AVIF"),
    "PPM": encoded("PPM"),
    "TGA": encoded("TGA"),
    "1x1 PNG": pictures.encoded(pictures.photo(1, 1), "PNG"),
    "1x1 JPEG": pictures.encoded(pictures.photo(1, 1), "JPEG"),
    "1x400 GIF": pictures.encoded(pictures.photo(1, 400), "GIF"),
    "400x1 WebP": pictures.encoded(pictures.photo(400, 1), "WEBP"),
}


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


@pytest.mark.parametrize("name", ["JPEG", "progressive JPEG", "PNG", "GIF", "WebP", "BMP", "TIFF"])
@pytest.mark.parametrize("tenths", range(1, 10))
def test_truncated_picture_is_refused(name: str, tenths: int) -> None:
    with pytest.raises(ImageError):
        decode(OPAQUE[name][: len(OPAQUE[name]) * tenths // 10])


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WebP"])
def test_picture_without_its_last_byte_is_refused(name: str) -> None:
    with pytest.raises(ImageError):
        decode(OPAQUE[name][:-1])


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_flood_that_pillow_reads_slowly_is_cut_away(name: str) -> None:
    """Ten megabytes of fill bytes between JPEG segments cost Pillow half a minute."""
    noise = b"\xff" * 9_000_000 if name == "JPEG" else pictures.png_chunk(b"prVt", bytes(3_900_000))
    data = (pictures.with_jpeg_segments if name == "JPEG" else pictures.with_png_chunks)(OPAQUE[name], noise)
    picture = images.inspect(data, LIMITS)
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

    picture = images.inspect(data, LIMITS)
    plugin = images._open(picture, Counting(picture.data))
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


def test_every_format_is_decoded_apart_as_it_is_here() -> None:
    spec = Preprocessing(size=(20, 30), resize="crop", filter="lanczos", mean=(1.0, 2.0, 3.0))
    for name in ("JPEG", "RGB JPEG", "PNG", "16-bit colour PNG", "AVIF"):
        picture = images.inspect(OPAQUE[name], LIMITS)
        assert decode_process.decode_apart(picture, spec, LIMITS) == images.render(picture, spec, LIMITS)


def test_error_apart_is_the_error_here() -> None:
    limits = replace(LIMITS, max_pixels=100)
    with pytest.raises(ImageDimensionsError) as caught:
        decode(OPAQUE["TIFF"], limits)
    assert caught.value.public == "The picture has too many pixels: 61x47, where at most 100 are accepted."
    with pytest.raises(ImageError):
        decode(OPAQUE["TIFF"][:-3000])


def test_decoding_that_takes_too_long_is_stopped() -> None:
    with pytest.raises(ImageTimeoutError):
        decode(OPAQUE["TIFF"], replace(LIMITS, decode_timeout_s=0.01))


def test_decoding_ends_with_the_requests_own_time() -> None:
    picture = images.inspect(OPAQUE["TIFF"], LIMITS)
    for left_s in (-1, 0.01):
        with pytest.raises(OutOfTimeError, match="were left"):
            images.decode(picture, Preprocessing(size=(20, 30)), LIMITS, time.monotonic() + left_s)


def test_decoder_that_keeps_the_cpu_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    spin = "import classifier.images as i,itertools;i.render=lambda *_:all(itertools.repeat(1));main()"
    monkeypatch.setattr(decode_process, "_START", decode_process._START.replace("main()", spin))
    monkeypatch.setattr(decode_process, "CLOCK_FACTOR", 100)
    with pytest.raises(ImageTimeoutError, match="CPU"):
        decode(OPAQUE["TIFF"], replace(LIMITS, decode_timeout_s=1))


def test_decoder_that_needs_too_much_memory_costs_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    swell = "import classifier.images as i;i.render=lambda *_:bytes(1<<30);main()"
    monkeypatch.setattr(decode_process, "_START", decode_process._START.replace("main()", swell))
    with pytest.raises(ImageComplexityError):
        decode(OPAQUE["TIFF"])


def test_decoder_that_crashes_costs_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    crash = "import classifier.images as i,os;i.render=lambda *_:os.abort();main()"
    monkeypatch.setattr(decode_process, "_START", decode_process._START.replace("main()", crash))
    with pytest.raises(ImageError, match="ended with -6"):
        decode(OPAQUE["TIFF"])


def test_decoding_process_has_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    show = "import os;assert 'AWS_SECRET_ACCESS_KEY' not in os.environ, 'seen';main()"
    monkeypatch.setattr(decode_process, "_START", decode_process._START.replace("main()", show))
    assert decode(OPAQUE["TIFF"]).format == "TIFF"


APART: dict[str, Callable[[Picture], Picture]] = {
    "slow format": lambda picture: replace(picture, slow=True),
    "much time": lambda picture: replace(picture, width=40_000, height=1_000),
    "much memory": lambda picture: replace(picture, coefficient_bytes=400_000_000),
}


@pytest.mark.parametrize("why", APART)
def test_what_may_cost_much_is_decoded_apart(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = images.inspect(OPAQUE["JPEG"], LIMITS)
    apart = DecodedImage(b"", "JPEG", 1, 1)
    monkeypatch.setattr(decode_process, "decode_apart", lambda *_: apart)
    spec = Preprocessing(size=(20, 30))
    assert images.decode(picture, spec, LIMITS) != apart
    assert images.decode(APART[why](picture), spec, LIMITS) == apart


def test_picture_that_does_not_fit_into_the_function_is_refused() -> None:
    data = pictures.encoded(Image.new("P", (3000, 3000)), "PNG")
    assert decode(data, replace(LIMITS, function_memory_bytes=8 << 30)).width == 3000
    with pytest.raises(ImageDimensionsError, match="are left"):
        decode(data, replace(LIMITS, function_memory_bytes=128 << 20))


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


def test_one_picture_imports_one_plugin(tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(encoded("JPEG", exif=pictures.exif(6)))
    program = (
        "import sys, pathlib\n"
        "from classifier import images\n"
        "from classifier.preprocessing import Preprocessing\n"
        "picture = images.inspect(pathlib.Path(sys.argv[1]).read_bytes(), images.ImageLimits())\n"
        "images.decode(picture, Preprocessing(size=(9, 9)), images.ImageLimits())\n"
        "print(sorted(name for name in sys.modules if name.endswith('Plugin')), 'numpy' in sys.modules)\n"
    )
    command = [sys.executable, "-c", program, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    assert (done.stdout, done.stderr) == ("['PIL.JpegImagePlugin'] False\n", "")
