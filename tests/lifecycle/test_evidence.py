"""Which pipeline a model was trained through: found out from pictures whose labels are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from classifier.pictures.preprocessing import Preprocessing
from lifecycle.evidence import weigh
from lifecycle.labelled import model_input
from lifecycle.pipelines import NUMBERS, PIXELS, numbers_of, pixels_of
from tests.support.pictures import encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZE = (32, 32)
GIVEN = Preprocessing(size=SIZE)


def textured(kind: int, chance: np.random.Generator) -> bytes:
    """A JPEG of one of three fine textures in a colour of its own, on which one filter is not like another."""
    y, x = np.mgrid[0:74, 0:90]
    wave = np.sin(x * (0.9 + 0.35 * kind)) * np.sin(y * (2.2 - 0.4 * kind)) + chance.normal(0, 0.5, y.shape)
    color = chance.uniform(0.6, 1.0, 3) * (1.0, 0.75, 0.5)
    pixels = 110 + 90 * wave[..., None] * color + (20, 0, -20)
    return encoded(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), "JPEG", quality=92)


PICTURES = [(textured(kind, np.random.default_rng(100 * kind + k)), kind) for kind in range(3) for k in range(20)]
TRAINING, HELD = PICTURES[::2], PICTURES[1::2]


def features(array: Any) -> np.ndarray[Any, Any]:
    """What a first convolution sees: levels, and how much neighbours differ, channel by channel."""
    picture = np.asarray(array, np.float64)[0]
    across, down = np.abs(np.diff(picture, axis=1)), np.abs(np.diff(picture, axis=0))
    parts = [picture, across, down, across[:, 1:] - across[:, :-1]]
    return np.concatenate([part.mean((0, 1)) for part in parts] + [part.std((0, 1)) for part in parts])


def trained(preprocessing: Preprocessing) -> Callable[[Any], Sequence[float]]:
    """A Gaussian classifier on those features, fitted to the pictures as that pipeline makes them."""
    rows = np.array([features(model_input(data, preprocessing)) for data, _ in TRAINING])
    classes = np.array([label for _, label in TRAINING])
    centres = np.array([rows[classes == label].mean(0) for label in range(3)])
    spread = rows.std(0) * 0.05 + np.sqrt(((rows - centres[classes]) ** 2).mean(0)) + 1e-9

    def scores(array: Any) -> Sequence[float]:
        distance = (((features(array) - centres) / spread) ** 2).sum(1) / 30
        likelihood = np.exp(-(distance - distance.min()))
        found: Sequence[float] = (likelihood / likelihood.sum()).tolist()
        return found

    return scores


def pipeline(pixels: str, numbers: str, color: str = "rgb") -> Preprocessing:
    first = next(each for each in numbers_of(GIVEN) if each.numbers == numbers and each.preprocessing.color == color)
    return next(each.preprocessing for each in pixels_of(first) if each.pixels == pixels)


@pytest.mark.parametrize(
    ("pixels", "numbers", "color"),
    [
        ("image_dataset_from_directory", "0 to 255", "rgb"),
        ("load_img, ImageDataGenerator", "-1 to 1 (tf)", "rgb"),
        ("OpenCV, area", "0 to 1", "bgr"),
        ("image_dataset_from_directory, pad", "per image", "rgb"),
    ],
)
def test_the_pipeline_of_the_training_is_named(pixels: str, numbers: str, color: str) -> None:
    wanted = pipeline(pixels, numbers, color)
    evidence = weigh(GIVEN, trained(wanted), HELD, lambda _: None, 24)
    assert evidence.best.pipeline.preprocessing == wanted, "\n".join(evidence.lines())
    assert evidence.better_than(GIVEN) is evidence.best
    assert any("the published one is not the best" in line for line in evidence.verdict(GIVEN))


def test_a_model_that_sees_no_difference_gets_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(1)
    told: list[str] = []
    monkeypatch.setattr("lifecycle.evidence.paced", lambda tell: tell)  # every line, without waiting
    evidence = weigh(GIVEN, lambda _: chance.dirichlet((1, 1, 1)).tolist(), HELD[:12], told.append, 12)
    count = len(evidence.tried)
    assert told[-1] == f"{count - 1} of {count} pipelines tried"
    assert not evidence.clear
    assert len(evidence.as_dict()["tried"]) >= len(PIXELS)


def test_a_gray_model_is_not_tried_with_colours() -> None:
    gray = Preprocessing(size=SIZE, color="grayscale")
    found = list(numbers_of(gray))
    assert {each.preprocessing.color for each in found} == {"grayscale"}
    assert {each.numbers for each in found} == set(NUMBERS) - {"caffe", "torch"}
