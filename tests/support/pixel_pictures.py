"""Forty pictures of all kinds that decoders differ on: JPEG's samplings, progressive, gray, CMYK; PNG's depths ..."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.support.pictures import encoded, interlaced_png, photo, png

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = ((400, 533), (97, 98), (333, 217), (31, 200), (4, 5))


@cache
def pixel_pictures() -> dict[str, bytes]:
    """By name. Most are about 300 x 200 with fine detail, on which one resize is not like another."""
    return {**dict(_jpegs()), **dict(_pngs()), **dict(_others())}


def detailed(width: int = 301, height: int = 203, mode: str = "RGB") -> Image.Image:
    """The smooth picture of the other tests with noise on it."""
    noise = np.random.default_rng(7).integers(-40, 41, (height, width, 3))
    return Image.fromarray((np.asarray(photo(width, height)) + noise).clip(0, 255).astype(np.uint8)).convert(mode)


def _jpegs() -> Iterator[tuple[str, bytes]]:
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        for size in SIZES:
            yield f"JPEG {sampling} {size}", encoded(detailed(*size), "JPEG", subsampling=sampling, quality=85)
    yield "JPEG 4:4:0", _turned_sampling(encoded(detailed(304, 208), "JPEG", subsampling="4:2:2"))
    for name, options in _JPEG_OPTIONS.items():
        yield name, _jpeg(**options)
    yield "gray JPEG", encoded(detailed(mode="L"), "JPEG")
    yield "CMYK JPEG", encoded(detailed(mode="CMYK"), "JPEG")
    yield "large JPEG", _jpeg(detailed(1601, 1203))


_JPEG_OPTIONS: dict[str, dict[str, Any]] = {
    "progressive JPEG": {"progressive": True, "quality": 70},
    "poor JPEG": {"quality": 10},
    "JPEG with restarts": {"restart_marker_rows": 1},
    "JPEG of RGB": {"keep_rgb": True},
}


def _jpeg(image: Image.Image | None = None, **options: Any) -> bytes:
    return encoded(image or detailed(), "JPEG", **options)


def _turned_sampling(data: bytes) -> bytes:
    """Say 1 x 2 where the frame header says 2 x 1: other pixels, but a valid stream of the same number of blocks."""
    frame = data.index(b"\xff\xc0")
    return data[: frame + 11] + b"\x12" + data[frame + 12 :]


def _pngs() -> Iterator[tuple[str, bytes]]:
    palette = detailed().quantize(40)
    clear = detailed().convert("RGBA")
    clear.putalpha(clear.getchannel("G"))
    deep = np.random.default_rng(8).integers(0, 65536, (203, 301), dtype=np.uint16)
    rows = np.random.default_rng(9).integers(0, 256, (40, 1 + 60 * 6), dtype=np.uint8)
    rows[:, 0] = 0
    yield "PNG", encoded(detailed(), "PNG")
    yield "PNG of the model's size", encoded(detailed(96, 96), "PNG")
    yield "PNG of one pixel", encoded(detailed(1, 1), "PNG")
    yield "PNG that grows", encoded(detailed(17, 40), "PNG")
    yield "interlaced PNG", interlaced_png(detailed(90, 70))
    yield "gray PNG", encoded(detailed(mode="L"), "PNG")
    yield "PNG of one bit", encoded(detailed().convert("1"), "PNG")
    yield "palette PNG", encoded(palette, "PNG")
    yield "transparent palette PNG", encoded(palette, "PNG", transparency=3)
    yield "transparent PNG", encoded(clear, "PNG")
    yield "transparent gray PNG", encoded(clear.convert("LA"), "PNG")
    yield "gray PNG of 16 bits", encoded(Image.fromarray(deep), "PNG")
    yield "PNG of 16 bits", png(60, 40, 16, 2, rows.tobytes())


def _others() -> Iterator[tuple[str, bytes]]:
    yield "GIF", encoded(detailed().quantize(60), "GIF")
    yield "transparent GIF", encoded(detailed().quantize(60), "GIF", transparency=5)
    yield "BMP", encoded(detailed(), "BMP")
    yield "WebP", encoded(detailed(), "WEBP", quality=80)
