"""The bilinear resize by LiteRT; test_tensorflow_pixels.py compares it with TensorFlow itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from classifier.pictures.pipelines import bilinear
from tests.support.pictures import encoded
from tests.support.pixel_pictures import detailed
from tests.support.preprocessed import preprocessed


def _tensorflow(jpeg: bytes, size: tuple[int, int]) -> Any:
    return preprocessed(jpeg, size, pixels="tensorflow")


def test_pictures_at_the_same_time_keep_apart() -> None:
    """Two of them of one size, with chroma of two kinds."""
    chroma = ("4:2:0", "4:2:0", "4:4:4", "4:2:2")
    sides = (200, 230, 290, 290)
    pictures = [
        encoded(detailed(side, 240), "JPEG", subsampling=kind) for side, kind in zip(sides, chroma, strict=True)
    ]
    alone = [_tensorflow(picture, (224, 224)) for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        together = threads.map(lambda i: _tensorflow(pictures[i % 4], (224, 224)), range(40))
    assert [i for i, found in enumerate(together) if not (found == alone[i % 4]).all()] == []


def test_strips_are_of_bounded_size_and_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [bilinear._rows(*size) for size in ((1, 4096), (4096, 4096), (4096, 60_000), (448, 224), (300, 384))] == [
        *(1, 12, 1, 224, 100),
    ]
    jpeg = encoded(detailed(96, 64), "JPEG")
    found = _tensorflow(jpeg, (50, 800))
    monkeypatch.setattr(bilinear, "PLACES_AT_ONCE", 7 * 800)
    assert (_tensorflow(jpeg, (50, 800)) == found).all()
