"""Keras models of every form, published for real: faithful to their source and compiled, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.bundles.compiled import key_of
from lifecycle import record
from lifecycle.command import main
from lifecycle.faithful import Agreement
from lifecycle.place import Place
from lifecycle.release import usable_report
from lifecycle.traffic.reference import read_reference
from tests.conftest import PLACE_PREFIX, Bucket
from tests.support.model_sources import LABELS, answer, publish

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("names", "by"),
    [
        (["model.keras"], "Keras 3"),
        (["model.h5"], "Keras 3"),
        (["model.json", "model.weights.h5"], "Keras 3"),
        (["model.weights.h5", "model.json"], "Keras 3"),
        (["bundle"], "Keras 3"),
        (["old.h5"], "the project's loader only"),
    ],
    ids=" ".join,
)
def test_every_form_of_a_model_is_published_faithfully(
    place: Place, sources: Path, capsys: Any, names: list[str], by: str
) -> None:
    told = publish(capsys, *(sources / name for name in names), "--labels", sources / "labels.txt")
    found = told["agreement"]["source"]
    assert found.keys() == set(Agreement.__dataclass_fields__)
    assert found["by"].startswith(by)
    assert found["arrays"] == 8
    assert told["verified"]
    assert told["agreement"]["compiled"]["usable"]
    assert usable_report(place, told["version"]) is not None
    assert answer(place, 128) == pytest.approx(np.load(sources / "expected.npy")[0], abs=1e-6)


def test_what_training_left_is_not_published(place: Place, sources: Path, capsys: Any) -> None:
    publish(capsys, sources / "model.keras", "--labels", sources / "labels.txt")
    publish(capsys, sources / "model.h5", "--labels", sources / "labels.txt")
    current = record.read_current(place)
    assert current is not None
    assert int(current.objects["model.weights.h5"]["size"]) < (sources / "model.h5").stat().st_size


def test_samples_are_scored_by_both_engines(place: Place, sources: Path, capsys: Any) -> None:
    arguments: list[str | Path] = [
        "--labels",
        sources / "labels.json",
        "--preprocessing",
        "unit",
        "--sample",
        sources / "samples",
    ]
    told = publish(capsys, sources / "model.keras", *arguments)
    (sample,) = told["samples"]
    assert sample["sample"] == "one.png"
    best = [sample[engine][0] for engine in ("tensorflow", "litert")]
    assert best[0]["label"] == best[1]["label"]
    assert best[0]["score"] == pytest.approx(best[1]["score"], abs=1e-5)
    assert told["agreement"]["source"]["samples"] == 1
    recorded = read_reference(place, told["version"])
    assert recorded is not None
    assert (recorded.of, recorded.measured.labels) == ("--sample", (best[1]["label"],))
    assert [len(row) for row in recorded.measured.features] == [32]
    assert recorded.measured.numbers["score"] == pytest.approx((best[1]["score"],), abs=1e-5)
    published = record.read_current(place)
    assert published is not None
    key = published.objects["serving.json"]["key"]
    serving = json.loads(place.client.get_object(Bucket=place.bucket, Key=key)["Body"].read())
    assert (serving["labels"], serving["preprocessing"]["scale"]) == (list(LABELS), "unit")


def test_publishing_the_same_again_compiles_nothing_and_is_the_same_version(
    place: Place, sources: Path, capsys: Any
) -> None:
    first = publish(capsys, sources / "model.keras", "--labels", sources / "labels.txt")
    key = key_of(PLACE_PREFIX, first["version"], "model.tflite")
    before = place.client.head_object(Bucket=place.bucket, Key=key)["VersionId"]
    assert publish(capsys, sources / "model.keras", "--labels", sources / "labels.txt")["version"] == first["version"]
    assert place.client.head_object(Bucket=place.bucket, Key=key)["VersionId"] == before


def test_a_dry_run_writes_nothing(sources: Path, bucket: Bucket, place: Place, capsys: Any) -> None:
    told = publish(capsys, sources / "model.keras", "--labels", sources / "labels.txt", "--dry-run")
    assert told["dry_run"]
    assert told["agreement"]["source"]["largest_difference"] < 1e-5
    assert bucket.boto.list_objects_v2(Bucket=place.bucket)["KeyCount"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["model.keras", "--labels", "two.txt"], 1, "2 labels for 3 scores"),
        (["lambda.keras", "--labels", "labels.txt"], 1, "Lambda"),
        (["labels.txt"], 2, "not a model that can be published"),
        (["alone/x.weights.h5"], 2, "half a model: give its architecture JSON"),
        (["samples"], 2, "holds no model"),
        (
            ["frozen.pb", "--labels", "labels.txt"],
            2,
            "with --input, of Mul (?, 8, 8, 3), and --output, of final_result (Softmax)",
        ),
        (["frozen.pb", "--labels", "labels.txt", "--input", "nope", "--output", "nope"], 1, "can't be cut out"),
        (["saved", "--labels", "labels.txt", "--output", "nope"], 2, "no signature"),
        (["saved", "--labels", "labels.txt", "--against", "samples"], 2, "--against tries pipelines on a Keras model"),
        (["absent.keras"], 2, "there is no"),
        (["model.json", "labels.txt"], 2, "labels go with --labels"),
        (["model.keras", "labels.txt"], 2, "labels go with --labels"),
        (["model.keras", "--labels", "labels.txt", "--size", "9", "9"], 1, "preprocessing.size"),
    ],
)
def test_what_can_not_be_published_is_refused_with_the_reason(
    place: Place, sources: Path, capsys: Any, arguments: list[str], code: int, reason: str
) -> None:
    named = [str(sources / item) if (sources / item).exists() or "." in item else item for item in arguments]
    assert main(["publish", *named]) == code
    assert reason in capsys.readouterr().err
    assert record.read_current(place) is None


def test_a_source_that_answers_otherwise_is_refused(
    place: Place, sources: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    true_loader = keras.Model.load_weights

    def other(model: Any, *arguments: Any, **options: Any) -> None:
        true_loader(model, *arguments, **options)
        model.layers[-1].bias.assign([0.01, 0.0, 0.0])

    monkeypatch.setattr(keras.Model, "load_weights", other)
    assert main(["publish", str(sources / "model.keras"), "--labels", str(sources / "labels.txt")]) == 1
    assert "refused: scores differ from Keras" in capsys.readouterr().err
    assert record.read_current(place) is None


@pytest.mark.usefixtures("place")
def test_what_nobody_said_is_warned_of(sources: Path, tmp_path: Path, capsys: Any) -> None:
    alone = tmp_path / "model.keras"
    alone.write_bytes((sources / "model.keras").read_bytes())
    assert main(["publish", str(alone), "--trained-with", "ImageDataGenerator(rescale=1/255)"]) == 0
    first = capsys.readouterr()
    assert "no labels were given: replies will say 0 to 2" in first.err
    assert "\nPictures size 8x8, resize stretch, filter nearest" in first.out
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    assert main(["publish", str(alone), "--dry-run"]) == 0
    second = capsys.readouterr()
    assert f"Labels   {', '.join(LABELS)}\n" in second.out
    assert "no labels" not in second.err
    assert "otherwise than for the model that serves: scale none instead of unit" in second.err
    assert main(["publish", str(alone), "--trained-with", "ImageDataGenerator", "--dry-run"]) == 0
    assert "otherwise than for the model" not in capsys.readouterr().err
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.keras").write_bytes(alone.read_bytes())
    (folder / "serving.json").write_text(json.dumps({"labels": ["0", "1", "2"], "preprocessing": {"scale": "none"}}))
    assert main(["publish", str(folder), "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert "no labels" not in said
    assert "otherwise than for the model" not in said
