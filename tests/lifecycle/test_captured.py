"""What a service kept, brought home: folders that training reads, a table, and nothing left of what is deleted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from lifecycle.captured import folder_name
from lifecycle.command import main
from lifecycle.labelled import model_input
from lifecycle.place import Place
from tests.support.application import SERVING, picture
from tests.support.capturing import Service
from tests.support.capturing import serve as serve

BLUE = (0, 0, 255)


def halves(image_format: str, orientation: int) -> bytes:
    """Red above blue, or turned so that EXIF has to say it."""
    pixels = np.zeros((40, 20, 3), np.uint8)
    pixels[:20, :, 0], pixels[20:, :, 2] = 255, 255
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(file, image_format, exif=exif, **({"quality": 95} if image_format == "JPEG" else {}))
    return file.getvalue()


@pytest.fixture
def service(place: Place, serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setenv("IMAGE_BUCKET", place.bucket)
    return serve()


def table(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "captures.csv").open(newline="") as file:
        return {row["request_id"]: row for row in csv.DictReader(file)}


def test_each_picture_lies_in_the_folder_of_its_label_the_given_before_the_predicted(
    service: Service, tmp_path: Path, capsys: Any
) -> None:
    plain, told, foreign = (service.classify(data)["request_id"] for data in (picture(), picture("JPEG"), picture()))
    blue = service.classify(picture(color=BLUE))["request_id"]
    assert service.feedback(request_id=told, label="blue").status == 200
    assert service.feedback(request_id=foreign, label="none of these").status == 200
    assert service.feedback(request_id=blue, label="blue").status == 200
    service.bucket.put("captures/stranger", b"not ours")
    capsys.readouterr()
    assert main(["captured", f"s3://{service.bucket.name}", "--to", str(tmp_path / "back"), "--json"]) == 0
    said = capsys.readouterr()
    assert "captures/stranger is left out: it has no record of ours" in said.err
    assert json.loads(said.out) | {"folder": ""} == {"folder": "", "pictures": 4, "given": 3, "right": 1, "foreign": 1}
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*g")}
    assert found == {
        f"back/red/{plain}.png",
        f"back/blue/{told}.jpg",
        f"back/blue/{blue}.png",
        f"back-none-of-these/{foreign}.png",
    }
    rows = table(tmp_path / "back")
    assert (rows[told]["given"], rows[told]["predicted"], rows[told]["version"]) == ("blue", "red", "0123456789abcdef")
    assert rows[foreign]["file"] == f"../back-none-of-these/{foreign}.png"
    assert (rows[plain]["given"], rows[plain]["file"], rows[plain]["sure"]) == ("", f"red/{plain}.png", "")


@pytest.mark.tensorflow
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_training_reads_what_the_service_saw_also_of_turned_pictures(
    service: Service, tmp_path: Path, image_format: str
) -> None:
    import keras

    data = halves(image_format, 3)
    request_id = service.classify(data)["request_id"]
    assert main(["captured", "--to", str(tmp_path / "back")]) == 0
    (path,) = (tmp_path / "back").rglob(f"{request_id}.*")
    assert path.suffix == {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".png"}[image_format]
    seen = [np.asarray(model_input(one, SERVING.preprocessing)) for one in (data, path.read_bytes())]
    assert np.abs(seen[0] - seen[1]).max() <= 1
    assert inspect(path.read_bytes(), ImageLimits()).orientation == (3 if image_format == "JPEG" else 1)
    dataset = keras.utils.image_dataset_from_directory(tmp_path / "back", image_size=(8, 8), verbose=False)
    assert dataset.class_names == [path.parent.name]
    assert [images.shape for images, _ in dataset] == [(1, 8, 8, 3)]


def test_only_what_somebody_labelled_and_only_of_some_days(service: Service, tmp_path: Path, capsys: Any) -> None:
    ids = [service.classify()["request_id"] for _ in range(2)]
    service.feedback(request_id=ids[1], label="blue")
    assert main(["captured", "--to", str(tmp_path / "given"), "--only-given", "--since", "2020-01-01"]) == 0
    assert [path.stem for path in (tmp_path / "given").rglob("*.png")] == [ids[1]]
    assert main(["captured", "--to", str(tmp_path / "later"), "--since", "2999-01-01"]) == 3
    assert "nothing is kept" in capsys.readouterr().err
    assert main(["captured", "--to", str(tmp_path / "given")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["captured", "--to", str(tmp_path / "dry"), "--dry-run"]) == 0
    assert not (tmp_path / "dry").exists()


def test_one_request_is_deleted_with_its_feedback_and_every_version(service: Service, capsys: Any) -> None:
    stays, goes = service.batch(picture())["request_id"], service.batch(picture(), picture())["request_id"]
    for label in ("blue", "red"):
        service.feedback(request_id=f"{goes}-1", label=label)
    service.bucket.boto.delete_object(Bucket=service.bucket.name, Key=f"captures/{goes}-0")
    service.bucket.put(f"captures/{goes}-10x", b"somebody else's")

    def there() -> set[str]:
        found = service.bucket.boto.list_object_versions(Bucket=service.bucket.name, Prefix="captures/")
        return {item["Key"] for item in (*found.get("Versions", []), *found.get("DeleteMarkers", []))}

    before = there()
    assert main(["captured", "--delete", goes, "--dry-run"]) == 0
    assert there() == before
    assert main(["captured", "--delete", goes]) == 0
    assert there() == {f"captures/{stays}-0", f"captures/{goes}-10x"}
    assert main(["captured", "--delete", goes]) == 3
    assert f"nothing is kept of the request {goes}" in capsys.readouterr().err


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["s3://pictures"], "give either --to DIR"),
        (["s3://pictures", "--to", "x", "--delete", "y"], "give either --to DIR"),
        (["s3://pictures/images", "--to", "x"], "keeps no pictures: give the image bucket"),
        (["--to", "x"], "give it as s3://BUCKET, or set IMAGE_BUCKET"),
        (["s3://pictures", "--delete", "../x"], "is no request_id"),
    ],
)
def test_wrong_usage_gets_a_sentence(
    arguments: list[str], sentence: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMAGE_BUCKET", raising=False)
    assert main(["captured", *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("label", "name"),
    [("t-shirt", "t-shirt"), ("Hemd ✓ blau", "Hemd ✓ blau"), ("a/b\\c", "a%2Fb%5Cc"), ("..", "%2E%2E"), ("", "%00")],
)
def test_a_label_is_a_folder_of_its_name_on_any_system(label: str, name: str) -> None:
    assert folder_name(label) == name
