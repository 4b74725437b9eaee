"""`publish --trained-with` and `--against`: what the published serving.json says of pixels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lifecycle import record
from lifecycle.command import main
from tests.support.model_sources import LABELS, publish, write_picture

if TYPE_CHECKING:
    from pathlib import Path

    from lifecycle.place import Place

pytestmark = pytest.mark.tensorflow


def published(place: Place) -> dict[str, Any]:
    current = record.read_current(place)
    assert current is not None
    key = current.objects["serving.json"]["key"]
    document: dict[str, Any] = json.loads(place.client.get_object(Bucket=place.bucket, Key=key)["Body"].read())
    found: dict[str, Any] = document["preprocessing"]
    return found


def pictures(folder: Path) -> Path:
    """The same pictures under each label: nothing can be told from them."""
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for number in range(4):
            write_picture(folder / label / f"{number}.png", (number * 60, 10, 200))
    return folder


def test_the_call_of_the_training_becomes_the_published_pixels(place: Place, sources: Path, capsys: Any) -> None:
    call = "image_dataset_from_directory(crop_to_aspect_ratio=True, rescale=1/255)"
    publish(capsys, sources / "model.keras", "--labels", sources / "labels.json", "--trained-with", call)
    found = published(place)
    assert {name: found[name] for name in ("pixels", "filter", "resize", "scale")} == {
        "pixels": "tensorflow",
        "filter": "bilinear",
        "resize": "crop",
        "scale": "unit",
    }


@pytest.mark.usefixtures("place")
def test_pictures_that_tell_nothing_make_it_ask(sources: Path, tmp_path: Path, capsys: Any) -> None:
    folder = pictures(tmp_path / "known")
    labels = ["--labels", str(sources / "labels.json")]
    assert main(["publish", str(sources / "model.keras"), *labels, "--against", str(folder), "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert "by no pipeline is the model better than guessing" in said
    assert "trained with" in said  # the table


def test_what_was_asked_for_stays_and_the_evidence_is_kept(
    place: Place, sources: Path, tmp_path: Path, capsys: Any
) -> None:
    folder = pictures(tmp_path / "known")
    asked: list[str | Path] = ["--trained-with", "load_img", "--against", folder]
    told = publish(capsys, sources / "model.keras", "--labels", sources / "labels.json", *asked)
    assert told["pipeline"].keys() == {"best", "clear", "accuracy", "taken", "why"}
    assert told["pipeline"]["taken"] == "load_img, ImageDataGenerator; 0 to 255"
    assert published(place)["filter"] == "nearest"
