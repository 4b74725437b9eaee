"""The picture itself, small, for people: made of what was decoded for the model, so that nothing is decoded twice."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from classifier.pictures.colors import converted

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 60_000
"""Larger pictures are shown that small, 283 x 212 for instance: packing is most of what showing costs, by pixel."""


def shown_size(width: int, height: int) -> tuple[int, int]:
    """Width and height that a picture of that size is shown at."""
    scale = min(1.0, math.sqrt(MOST_PIXELS / (width * height)))
    return max(1, round(width * scale)), max(1, round(height * scale))


def shown(image: Image, width: int, height: int) -> Image | None:
    """A decoded picture, in RGB, as it lies in its file, at the size at which one of `width` x `height` is shown.

    None if it was decoded smaller than that.
    """
    size = shown_size(width, height)
    if image.width < size[0] or image.height < size[1]:
        return None
    from PIL.Image import Resampling

    whole = converted(image, "RGB")
    return whole.copy() if whole.size == size else whole.resize(size, Resampling.BOX, reducing_gap=2.0)
