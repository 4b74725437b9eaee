"""A heat map on its picture, as PNG: what speaks for the label glows, and what the model did not see is dark."""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING

from classifier.explaining.png import as_png
from classifier.pictures.decode import decode
from classifier.pictures.preprocessing import Preprocessing
from classifier.pictures.shown import shown_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from classifier.explaining.grids import Grid
    from classifier.pictures.headers.picture import ImageLimits, Picture
    from classifier.pictures.render import DecodedImage

GLOW = ((40, 10, 90), (190, 40, 90), (250, 140, 20), (255, 240, 90))
"""Colours from 0 to 1, in even steps; each is lighter than the one before, so that colour-blind eyes follow."""
MOST = 0.75
"""How much of a pixel is the map's where that is 1; where it is 0, the picture stays as it is."""
UNSEEN = 0.35
"""Of the brightness of what a crop leaves out."""


def overlay(
    checked: Picture, seen: DecodedImage, box: Sequence[float], map_: Grid, limits: ImageLimits, deadline: float
) -> str:
    """The upright picture with the map over its `box`, as PNG in base64.

    Where `seen` has no picture to show, it is decoded once more, under the same limits. Errors as of `decode`.
    """
    from PIL import Image

    shown = seen.shown or _decoded(checked, seen, limits, deadline)
    left, right = (round(edge * shown.width) for edge in box[::2])
    top, bottom = (round(edge * shown.height) for edge in box[1::2])
    size = max(1, right - left), max(1, bottom - top)
    heat = Image.frombytes("L", (len(map_[0]), len(map_)), bytes(round(255 * one) for row in map_ for one in row))
    heat = heat.resize(size, Image.Resampling.BICUBIC)
    palette, shares, dark = _tables()
    mask = heat.point(shares)
    heat.putpalette(palette)
    inside = shown.crop((left, top, left + size[0], top + size[1]))
    inside.paste(heat.convert("RGB"), mask=mask)
    if shown.size != size:
        shown = shown.point(dark * 3)
        shown.paste(inside, (left, top))
        inside = shown
    return base64.b64encode(as_png(inside)).decode()


def _decoded(checked: Picture, seen: DecodedImage, limits: ImageLimits, deadline: float) -> Image:
    from PIL import Image

    width, height = shown_size(seen.width, seen.height)
    spec = Preprocessing(size=(height, width), filter="bilinear", fast_decode=True)
    return Image.frombytes("RGB", (width, height), decode(checked, spec, limits, deadline).pixels)


@cache
def _tables() -> tuple[bytes, list[int], list[int]]:
    """For each level of the map its colour (a palette) and share of a pixel; for each of a picture the dark one."""
    palette = bytes(part for level in range(256) for part in _colour(level / 255))
    return palette, [round(MOST * level) for level in range(256)], [round(UNSEEN * level) for level in range(256)]


def _colour(share: float) -> tuple[int, ...]:
    place = share * (len(GLOW) - 1)
    first = min(int(place), len(GLOW) - 2)
    return tuple(
        round(one + (other - one) * (place - first)) for one, other in zip(GLOW[first], GLOW[first + 1], strict=True)
    )
