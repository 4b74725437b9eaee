"""The bilinear resize by LiteRT; test_tensorflow_pixels.py compares it with TensorFlow itself."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from classifier.errors import ClassifierError
from classifier.pictures.pipelines import axes, bilinear
from tests.support.pictures import encoded
from tests.support.pixel_pictures import detailed
from tests.support.preprocessed import preprocessed

if TYPE_CHECKING:
    from classifier.pictures.pipelines.samples import Samples

CASES = 60


def _by_pixels(samples: Samples, tall: axes.Part, wide: axes.Part) -> bytearray:
    """The other way to the same: pixels first, by Pillow, then the interpolation alone."""
    return bilinear.interpolated(samples, axes.bilinear(tall), axes.bilinear(wide))


def test_any_size_is_the_same_as_by_pixels_made_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Odd and tiny sizes, edges of crops, all kinds of chroma: what a few pictures may not meet."""
    chance = random.Random(7)
    asked: list[tuple[bytes, tuple[int, int], str]] = []
    for _ in range(CASES):
        width, height = chance.randint(1, 90), chance.randint(1, 90)
        jpeg = encoded(detailed(width, height), "JPEG", subsampling=chance.choice(["4:4:4", "4:2:2", "4:2:0"]))
        size = chance.choice([(chance.randint(1, 150), chance.randint(1, 150)), (height, width), (2 * height, width)])
        asked.append((jpeg, size, chance.choice(["stretch", "crop", "pad"])))
    found = [_tensorflow(*one) for one in asked]
    monkeypatch.setattr(bilinear, "tensorflow", _by_pixels)
    assert [i for i, one in enumerate(asked) if not (_tensorflow(*one) == found[i]).all()] == []


def _tensorflow(jpeg: bytes, size: tuple[int, int], resize: str) -> Any:
    return preprocessed(jpeg, size, pixels="tensorflow", resize=resize)


def test_pictures_at_the_same_time_keep_apart() -> None:
    pictures = [encoded(detailed(side, 240), "JPEG") for side in (200, 230, 260, 290)]
    alone = [_tensorflow(picture, (224, 224), "stretch") for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        together = threads.map(lambda i: _tensorflow(pictures[i % 4], (224, 224), "stretch"), range(40))
    assert [i for i, found in enumerate(together) if not (found == alone[i % 4]).all()] == []


def test_strips_are_of_bounded_size_and_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [bilinear._rows(*size) for size in ((1, 4096), (4096, 4096), (4096, 30_000), (224, 224), (300, 96))] == [
        *(1, 3, 1, 56, 100),
    ]
    jpeg = encoded(detailed(96, 64), "JPEG")
    found = _tensorflow(jpeg, (50, 800), "stretch")
    bilinear._plan.cache_clear()
    monkeypatch.setattr(bilinear, "PLACES_AT_ONCE", 50 * 800)
    assert (_tensorflow(jpeg, (50, 800), "stretch") == found).all()
    bilinear._plan.cache_clear()


def test_a_program_that_does_not_run_is_our_fault_and_not_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bilinear, "_machine", lambda *_: bilinear._Machine("bilinear.py", ()))
    with pytest.raises(bilinear.ResizeError, match=r"^jpeg\.tflite for .*LiteRtCreateModelFromBuffer") as raised:
        _tensorflow(encoded(detailed(96, 64), "JPEG"), (24, 24), "stretch")
    assert not isinstance(raised.value, ClassifierError)
