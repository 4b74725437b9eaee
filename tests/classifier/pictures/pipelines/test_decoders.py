"""What TensorFlow's and OpenCV's decoders make of files that Pillow reads otherwise, against both themselves."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.support.pictures import adobe_ycck, encoded, offset_gif, photo, png, png_16, png_chunk, with_png_chunks
from tests.support.preprocessed import preprocessed

if TYPE_CHECKING:
    from collections.abc import Iterator

COLOURS = Image.fromarray(np.random.default_rng(3).integers(0, 256, (30, 40, 3), dtype=np.uint8))
SRGB = png_chunk(b"sRGB", b"\0")
NUMBERS = np.random.default_rng(5).integers(0, 65536, (30, 40, 3))


def gamma(value: int) -> bytes:
    return png_chunk(b"gAMA", struct.pack(">I", value))


def gammas() -> Iterator[tuple[str, bytes]]:
    """PNGs by what they say of their gamma; libpng ignores some of it."""
    plain = encoded(COLOURS, "PNG")
    yield "a palette", with_png_chunks(encoded(COLOURS.quantize(30), "PNG"), SRGB)
    yield "alpha", with_png_chunks(encoded(COLOURS.convert("RGBA"), "PNG"), SRGB)
    yield "grays", with_png_chunks(encoded(photo(mode="L").convert("RGB"), "PNG"), SRGB)
    for value in (45455, 22000, 94999, 96000, 100_000, 105_001, 250_000, 16):
        yield f"gamma {value}", with_png_chunks(plain, gamma(value))
    for name, chunks in (("srgb", [SRGB]), ("both", [gamma(100_000), SRGB]), ("twice", [gamma(45455), gamma(90_000)])):
        yield name, with_png_chunks(plain, *chunks)
    yield "none", with_png_chunks(plain, gamma(0))


@pytest.mark.tensorflow
def test_gray_is_made_in_linear_light_of_a_png_that_tells_its_gamma() -> None:
    import tensorflow as tf

    for name, data in gammas():
        wanted = tf.io.decode_png(data, channels=1).numpy()
        got = preprocessed(data, wanted.shape[:2], pixels="tensorflow", filter="nearest", color="grayscale")
        assert (got == wanted).all(), name
    deep = with_png_chunks(png_16(NUMBERS), SRGB)
    wanted = tf.io.decode_png(deep, channels=1).numpy().astype(np.float32)
    got = preprocessed(deep, (30, 40), pixels="tensorflow", filter="nearest", color="grayscale")
    assert np.abs(got - wanted).max() <= 16  # of 16 bits the low ones are lost before


def test_gray_is_opencvs_of_every_format() -> None:
    cv2 = pytest.importorskip("cv2")
    files = {
        **dict(gammas()),
        "BMP": encoded(COLOURS, "BMP"),
        "palette BMP": encoded(COLOURS.quantize(30), "BMP"),
        "GIF": encoded(COLOURS.quantize(30), "GIF"),
        "a part of a GIF": offset_gif(transparent=False),
        "WebP": encoded(COLOURS, "WEBP"),
        "CMYK": encoded(COLOURS.convert("CMYK"), "JPEG"),
        "YCCK": adobe_ycck(COLOURS),
        "stored as RGB": encoded(COLOURS, "JPEG", keep_rgb=True),
    }
    for name, data in files.items():
        wanted = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        got = preprocessed(data, wanted.shape, pixels="opencv", filter="nearest", color="grayscale")[..., 0]
        assert (got == wanted).all(), name


def few_bits() -> Iterator[tuple[str, bytes]]:
    rows = b"".join(b"\0" + bytes(range(place, place + 20)) for place in range(20))
    for bits in (1, 2, 4, 8):
        gray = png(160 // bits, 20, bits, 0, rows)
        yield f"gray of {bits}", gray
        yield f"gray of {bits}, one clear", with_png_chunks(gray, png_chunk(b"tRNS", struct.pack(">H", 1)))
        yield f"palette of {bits}", encoded(COLOURS.quantize(1 << bits), "PNG", bits=bits)
    yield (
        "gray of 16, one clear",
        with_png_chunks(png_16(NUMBERS[..., 0]), png_chunk(b"tRNS", struct.pack(">H", int(NUMBERS[2, 3, 0])))),
    )


@pytest.mark.tensorflow
def test_transparency_is_tensorflows_that_of_opaque_pngs_among_it() -> None:
    import tensorflow as tf

    for name, data in few_bits():
        wanted = tf.io.decode_png(data, channels=4).numpy()
        got = preprocessed(data, wanted.shape[:2], pixels="tensorflow", filter="nearest", color="rgba")
        assert (got == wanted).all(), name


def test_a_clear_gray_of_few_bits_is_laid_over_white() -> None:
    files = dict(few_bits())
    for bits in (1, 2, 4):
        plain = preprocessed(files[f"gray of {bits}"], (20, 160 // bits))
        wanted = np.where(plain == 255 // ((1 << bits) - 1), 255, plain)
        assert (preprocessed(files[f"gray of {bits}, one clear"], (20, 160 // bits)) == wanted).all(), bits


@pytest.mark.tensorflow
def test_bmp_has_no_palette_and_no_masks_for_tensorflow() -> None:
    import tensorflow as tf

    wide = encoded(COLOURS.convert("RGBA"), "BMP")
    files: dict[str, tuple[bytes, tuple[str, ...]]] = {
        "palette": (encoded(COLOURS.quantize(30), "BMP"), ("rgb", "rgba")),
        "gray": (encoded(COLOURS.convert("L"), "BMP"), ("rgb",)),
        "32 bits": (wide, ("rgb", "rgba")),
        "24 bits": (encoded(COLOURS, "BMP"), ("rgb",)),
    }
    for name, (data, colors) in files.items():
        for color in colors:
            wanted = tf.io.decode_image(data, channels=len(color)).numpy()
            got = preprocessed(data, wanted.shape[:2], pixels="tensorflow", filter="nearest", color=color)
            assert (got == wanted).all(), (name, color)


@pytest.mark.tensorflow
def test_around_a_gifs_first_frame_it_is_black_for_tensorflow_and_the_backgrounds_colour_for_opencv() -> None:
    import tensorflow as tf

    cv2 = pytest.importorskip("cv2")
    part, whole = COLOURS.crop((0, 5, 40, 20)).quantize(9), COLOURS.quantize(20)
    control = b"\x21\xf9\x04\x00\x00\x00\x00\x00"
    data = bytearray(encoded(whole, "GIF"))
    frames = [frame(part, 0, 5), frame(whole, 0, 0)]
    palette_end = 13 + (3 << ((data[10] & 7) + 1))
    data = data[:palette_end] + b"".join(control + each for each in frames) + b";"
    data[11] = 2  # the background's place in the palette
    for pixels, wanted in (
        ("tensorflow", tf.io.decode_image(bytes(data), channels=3, expand_animations=False).numpy()),
        ("opencv", cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]),
    ):
        got: Any = preprocessed(bytes(data), (30, 40), pixels=pixels, filter="nearest", color="rgb")
        assert (got == wanted).all(), pixels


def frame(image: Image.Image, left: int, top: int) -> bytes:
    """A GIF's one frame, with its palette as a local one, at another place."""
    data = encoded(image, "GIF")
    palette = data[13 : 13 + (3 << ((data[10] & 7) + 1))]
    start = data.index(b"\x2c", 13 + len(palette))
    flags = 0x80 | (data[10] & 7)
    return b"\x2c" + struct.pack("<HHHHB", left, top, *image.size, flags) + palette + data[start + 10 : -1]
