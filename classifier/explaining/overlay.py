"""A heat map on its picture, as PNG: what speaks for the label glows, and what the model did not see is dark."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from classifier.pictures.decode import decode
from classifier.pictures.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classifier.explaining.grids import Grid
    from classifier.pictures.headers.picture import ImageLimits, Picture
    from classifier.pictures.render import DecodedImage

LONGEST_SIDE = 480
"""Of the overlay. Even noise, which PNG can't make smaller, is then under the megabyte that a load balancer sends."""
GLOW = ((40, 10, 90), (190, 40, 90), (250, 140, 20), (255, 240, 90))
"""Colours from 0 to 1, in even steps; each is lighter than the one before, so that colour-blind eyes follow."""
MOST = 0.75
"""How much of a pixel is the map's where that is 1; where it is 0, the picture stays as it is."""
UNSEEN = 0.35
"""Of the brightness of what a crop leaves out."""
_PNG_LEVEL = 1
"""A photograph takes a third of the time of level 4, and a tenth more bytes."""


def overlay(
    checked: Picture, seen: DecodedImage, box: Sequence[float], map_: Grid, limits: ImageLimits, deadline: float
) -> str:
    """The upright picture with the map over its `box`, as PNG in base64.

    Decoded once more, under the same limits: the model's own pixels are too few. Errors as of `decode`.
    """
    from PIL import Image

    scale = min(1.0, LONGEST_SIDE / max(seen.width, seen.height))
    width, height = max(1, round(seen.width * scale)), max(1, round(seen.height * scale))
    spec = Preprocessing(size=(height, width), filter="bilinear", fast_decode=True)
    shown = Image.frombytes("RGB", (width, height), decode(checked, spec, limits, deadline).pixels)
    left, right = (round(edge * width) for edge in box[::2])
    top, bottom = (round(edge * height) for edge in box[1::2])
    size = max(1, right - left), max(1, bottom - top)
    heat = Image.frombytes("L", (len(map_[0]), len(map_)), bytes(round(255 * one) for row in map_ for one in row))
    heat = heat.resize(size, Image.Resampling.BICUBIC)
    palette = [_colour(level / 255) for level in range(256)]
    glow = Image.merge("RGB", [heat.point([colour[channel] for colour in palette]) for channel in range(3)])
    mask = heat.point([round(MOST * level) for level in range(256)])
    inside = shown.crop((left, top, left + size[0], top + size[1]))
    inside.paste(glow, mask=mask)
    if (width, height) != size:
        shown = shown.point([round(level * UNSEEN) for level in range(256)] * 3)
    shown.paste(inside, (left, top))
    file = io.BytesIO()
    shown.save(file, "PNG", compress_level=_PNG_LEVEL)
    return base64.b64encode(file.getvalue()).decode()


def _colour(share: float) -> tuple[int, ...]:
    place = share * (len(GLOW) - 1)
    first = min(int(place), len(GLOW) - 2)
    return tuple(
        round(one + (other - one) * (place - first)) for one, other in zip(GLOW[first], GLOW[first + 1], strict=True)
    )
