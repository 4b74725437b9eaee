"""What decoding is tested with: awkward pictures without transparency, and short ways to decode them."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from classifier.pictures import decode as decoding
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from classifier.pictures.preprocessing import Preprocessing
from classifier.pictures.render import DecodedImage
from classifier.settings import FORMATS
from tests.support import pictures

LIMITS = ImageLimits(formats=FORMATS)
WHITE = (255, 255, 255)


def decode(data: bytes, limits: ImageLimits = LIMITS, **wanted: Any) -> DecodedImage:
    picture = inspect(data, limits)
    return decoding.decode(picture, Preprocessing(**{"size": (20, 30), **wanted}), limits)


def full_size(data: bytes, mode: str = "RGB") -> Image.Image:
    """Our decoding without resizing."""
    picture = inspect(data, LIMITS)
    upright = (picture.height, picture.width) if picture.orientation < 5 else (picture.width, picture.height)
    if not picture.width:
        upright = pictures.decoded(data).size[::-1]
    spec = Preprocessing(size=upright, color="rgb" if mode == "RGB" else "grayscale")
    done = decoding.decode(picture, spec, LIMITS)
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
