"""What is measured of each picture and its answer, when a model is published and of what comes back later."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NUMBERS = {
    "score": "score of the best label",
    "brightness": "brightness, 0 to 1",
    "megapixels": "size in megapixels",
    "aspect": "width / height",
}
"""What is compared beside the labels, as people read it."""
SIDE = 64
LIMITS = ImageLimits(formats=("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"))


@dataclass(frozen=True, slots=True)
class Measured:
    """Columns of the same length: the best label of each picture, and NUMBERS by name.

    `features` are the model's own of each picture (lifecycle/traffic/features.py); empty where they are not known.
    """

    labels: tuple[str, ...]
    numbers: Mapping[str, tuple[float, ...]]
    features: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(
        cls, rows: Sequence[tuple[str, Mapping[str, float]]], features: Sequence[tuple[float, ...]] = ()
    ) -> Measured:
        """Of one label and one number of each kind a picture."""
        columns = {name: tuple(row[name] for _, row in rows) for name in NUMBERS}
        return cls(tuple(label for label, _ in rows), columns, tuple(features))

    def as_dict(self) -> dict[str, Any]:
        """As reference.json holds it."""
        columns = {name: list(column) for name, column in self.numbers.items()}
        return {"labels": list(self.labels), **columns, **({"features": self.features} if self.features else {})}


def measure(data: bytes, score: float, orientation: int | None = None) -> dict[str, float]:
    """The numbers of a picture; ImageError and its kin, OSError where it can't be read.

    `orientation` is EXIF's, where the bytes have lost it. Brightness is the mean of luma (ITU-R BT.601, Pillow's `L`),
    of at most 64 x 64 pixels.
    """
    from PIL import Image

    picture = inspect(data, LIMITS)
    with Image.open(io.BytesIO(picture.data)) as opened:
        opened.draft("L", (SIDE, SIDE))
        width, height = picture.width or opened.width, picture.height or opened.height
        gray = opened.convert("L").resize((min(SIDE, width), min(SIDE, height)), Image.Resampling.BOX)
    if (orientation or picture.orientation) >= 5:
        width, height = height, width
    found = {
        "score": score,
        "brightness": sum(gray.tobytes()) / (255 * gray.width * gray.height),
        "megapixels": width * height / 1e6,
        "aspect": width / height,
    }
    return {name: float(f"{value:.6g}") for name, value in found.items()}
