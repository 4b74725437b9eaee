"""Drift from what lies in S3: a planted shift is named, traffic as it was is not, and each thing that lacks is said."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from classifier.captures.capture import Captures
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.traffic.comparison import compare
from lifecycle.traffic.measures import Measured, measure
from lifecycle.traffic.reference import Reference, read_reference, write_reference
from tests.conftest import Bucket
from tests.support.stand_ins import publish

LABELS = ["dress", "hat", "pants", "shirt", "shoes"]
SHARES = [0.15, 0.1, 0.3, 0.25, 0.2]


def traffic(
    seed: int, count: int, shares: Sequence[float] = SHARES, darker: float = 0.0, other: float | None = None
) -> Measured:
    """Pictures and answers as chance deals them: four sizes, so with many ties.

    With `other` there are features: classes far apart, and one direction in which pictures differ by that little.
    """
    chance = random.Random(seed)
    rows = []
    for label in chance.choices(LABELS, shares, k=count):
        width, height = chance.choice([(400, 533), (3024, 4032), (640, 480), (1080, 1080)])
        numbers = {
            "score": round(chance.betavariate(6, 1), 4),
            "brightness": round(chance.betavariate(4, 3) * (1 - darker), 4),
            "megapixels": width * height / 1e6,
            "aspect": width / height,
        }
        rows.append((label, numbers))
    if other is None:
        return Measured.of(rows)
    features = [
        (*(5.0 * (label == each) + chance.gauss(0, 0.5) for each in LABELS), chance.gauss(other, 0.3))
        for label, _ in rows
    ]
    return Measured.of(rows, features)


def test_a_planted_shift_of_one_class_is_named_and_nothing_else() -> None:
    found = compare(traffic(1, 500), traffic(2, 400, [0.15, 0.25, 0.25, 0.2, 0.15]))
    assert [each.name for each in found.moved] == ["labels"]
    assert [share.label for share in found.moved_labels] == ["hat"]
    assert "hat 10." in found.moved[0].told


def test_darker_pictures_are_named_too() -> None:
    found = compare(traffic(1, 500), traffic(2, 400, darker=0.3))
    assert [each.name for each in found.moved] == ["brightness"]


def test_ten_draws_of_the_same_traffic_are_left_in_peace() -> None:
    found = [compare(traffic(seed, 400, other=0), traffic(100 + seed, 250, other=0)) for seed in range(10)]
    assert [each.moved for each in found] == [[]] * 10
    assert {len(each.found) for each in found} == {6}


def test_a_shift_that_only_the_models_features_show_is_named() -> None:
    found = compare(traffic(1, 400, other=0), traffic(2, 250, other=0.2))
    assert [each.name for each in found.moved] == ["features"]
    assert found.moved[0].told.startswith("the model's own, of its last but one layer (distance 0.")
    without = compare(traffic(1, 400), traffic(2, 250, other=0.2))
    assert [each.name for each in without.found] == ["labels", "score", "brightness", "megapixels", "aspect"]


@cache
def small(brightness: int, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, brightness).convert("RGB").save(file, "PNG")
    return file.getvalue()


def keep(bucket: Bucket, version: str, labels: Sequence[str], *, why: str = "drawn", brightness: int = 128) -> None:
    """As the service does."""
    captures = Captures(bucket.s3, bucket.name, share=1, unsure=False)
    model = {"name": "classifier", "version": version, "engine": "litert"}
    for number, label in enumerate(labels):
        picture = inspect(small(brightness + number % 7, (20, 10 + number % 5)), ImageLimits())
        predictions = [{"label": label, "score": 0.9 + number % 9 / 100}]
        image = {"source": "upload", "format": "PNG", "width": 20, "height": 10}
        record = {"time": "t", "why": why, "model": model, "image": image, "predictions": predictions}
        captures.put(f"{version}-{why}-{number}", picture, record, 1e12)


@pytest.fixture
def home(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("IMAGE_BUCKET", place.bucket)
    monkeypatch.chdir(tmp_path)
    return place


def test_the_loop_from_a_recorded_reference_to_what_moved(home: Place, bucket: Bucket, capsys: Any) -> None:
    version = publish(home, 1).version
    keep(bucket, version, ["hat", "shoes"] * 18)
    keep(bucket, "0" * 16, ["hat"] * 3)
    keep(bucket, version, ["hat"] * 2, why="unsure")
    assert main(["drift"]) == 2
    assert "nothing was recorded" in capsys.readouterr().err
    assert main(["drift", "--record"]) == 0
    capsys.readouterr()
    assert main(["drift", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["moved"], told["pictures"], told["of_other_versions"]) == ([], 36, 3)
    assert len(told["compared"]) == 5
    keep(bucket, version, ["shoes"] * 36, brightness=40)
    assert main(["drift", "--picture", "moved.svg"]) == 1
    said = capsys.readouterr().out
    assert "MOVED     labels      hat 50.0% -> 0.0%; shoes 50.0% -> 100.0%, which chance does" in said
    assert "labels, brightness moved by more than chance" in said
    assert "the model's features were not recorded, so they are not compared" in said
    drawn = ET.fromstring(Path("moved.svg").read_text())  # noqa: S314 - our own
    texts = {element.text: element.get("fill") for element in drawn.iter() if element.tag.endswith("text")}
    assert (texts["hat"], texts["brightness, 0 to 1"], texts["width / height"]) == ("#dc2626", "#dc2626", "black")


def test_too_few_pictures_and_none_drawn_by_chance_are_said(home: Place, bucket: Bucket, capsys: Any) -> None:
    version = publish(home, 1).version
    write_reference(home, version, Reference(measured=traffic(1, 50), of="--sample", recorded="t"))
    keep(bucket, version, ["hat"] * 29)
    keep(bucket, version, ["hat"] * 2, why="unsure")
    assert main(["drift"]) == 3
    assert "29 pictures of" in (said := capsys.readouterr().err)
    assert "2 were kept for another reason: capture=0.01,unsure draws some as well" in said


@pytest.mark.parametrize(
    "document",
    [
        b"{",
        b"[]",
        b'{"recorded": "t", "of": "x", "labels": ["a"]}',
        json.dumps({"recorded": "t", "of": "x", **traffic(1, 5).as_dict(), "score": [1]}).encode(),
        json.dumps({"recorded": "t", "of": "x", **traffic(1, 5).as_dict(), "aspect": ["x"] * 5}).encode(),
        json.dumps({"recorded": "t", "of": "x", **traffic(1, 5).as_dict(), "features": [[1.0] * 32] * 4}).encode(),
        json.dumps({"recorded": "t", "of": "x", **traffic(1, 5).as_dict(), "features": [[1.0] * 31] * 5}).encode(),
        json.dumps({"recorded": "t", "of": "x", **traffic(1, 5).as_dict(), "features": [3] * 5}).encode(),
    ],
)
def test_a_reference_that_is_none_is_refused(home: Place, bucket: Bucket, document: bytes, capsys: Any) -> None:
    version = publish(home, 1).version
    bucket.put(f"{home.prefix}versions/{version}/reference.json", document)
    assert main(["drift"]) == 1
    assert "reference.json" in capsys.readouterr().err


def test_what_was_recorded_goes_with_a_version_to_another_stage(home: Place) -> None:
    version = publish(home, 1).version
    reference = Reference(measured=traffic(1, 50), of="--against photos", recorded="t")
    write_reference(home, version, reference)
    there = f"s3://{home.bucket}/models/prod"
    assert main(["promote", "--from", home.url, "--to", there]) == 0
    assert read_reference(Place(home.bucket, "models/prod/", home.client), version) == reference


def test_numbers_are_those_of_the_picture_upright() -> None:
    measured = measure(small(51, (20, 10)), 0.5)
    assert measured == {"score": 0.5, "brightness": 0.2, "megapixels": 0.0002, "aspect": 2.0}
    assert measure(small(51, (20, 10)), 0.5, orientation=6)["aspect"] == 0.5
