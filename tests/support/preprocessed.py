"""A picture's bytes as the model gets them."""

from __future__ import annotations

from typing import Any

import numpy as np

from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from classifier.pictures.preprocessing import Preprocessing

LIMITS = ImageLimits()


def preprocessed(data: bytes, size: tuple[int, int], **fields: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Shape (height, width, channels), by the product's own way, read as serving.json is."""
    spec = Preprocessing.from_json({"size": list(size), **fields}, (None, None, None))
    decoded = decode(inspect(data, LIMITS), spec, LIMITS)
    array: np.ndarray[Any, np.dtype[np.float32]] = np.asarray(spec.to_array(decoded.pixels))[0]
    return array
