"""What `verify` finds in S3, and what `export` makes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.bundles.compiled import key_of
from lifecycle import record
from lifecycle.command import main
from lifecycle.marks import read_mark
from lifecycle.place import Place
from lifecycle.timeline import read_timeline
from lifecycle.verify import load_served
from tests.conftest import PLACE_PREFIX, Bucket
from tests.support.model_sources import LABELS, answer, publish, write_picture
from tests.support.stand_ins import compiled_is_whole, served

pytestmark = pytest.mark.tensorflow


def test_verifying_passes_and_is_kept_for_promoting(place: Place, sources: Path, capsys: Any, tmp_path: Path) -> None:
    version = publish(capsys, sources / "bundle")["version"]
    for index, label in enumerate(LABELS):
        (tmp_path / label).mkdir()
        write_picture(tmp_path / label / "picture.png", (index * 90, 10, 200))
    picture = tmp_path / "picture.svg"
    assert main(["verify", "--against", str(tmp_path), "--picture", str(picture), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["passed"], told["engines"]) == (version, True, ["tensorflow", "litert"])
    assert told["quality"]["litert"]["pictures"] == 3
    assert sum(map(sum, told["quality"]["litert"]["confusion"])) == 3
    assert told["quality"]["litert"]["accuracy"] == told["quality"]["tensorflow"]["accuracy"]
    assert len(told["evidence"]["tried"]) > 10
    assert isinstance(told["pipeline"]["published_is_best"], bool)
    assert picture.read_text().startswith("<svg")
    mark = read_mark(place, version)
    assert mark is not None
    assert mark["passed"]


@pytest.mark.usefixtures("place")
def test_accuracy_is_kept_shown_and_asked_for(sources: Path, capsys: Any, tmp_path: Path) -> None:
    publish(capsys, sources / "bundle")
    promote = ["promote", "--from", "dev", "--to", "prod", "--min-accuracy"]
    assert main([*promote, "50%"]) == 1
    assert "Run verify --against DIR" in capsys.readouterr().err
    for index in range(12):  # the same pictures under two labels: half of them are wrong at least
        for label in LABELS[:2]:
            (tmp_path / label).mkdir(exist_ok=True)
            write_picture(tmp_path / label / f"{index}.png", (index * 10, 10, 200))
    verify = ["verify", "--against", str(tmp_path), "--picture", str(tmp_path / "p.svg"), "--min-accuracy"]
    assert main([*verify, "60%"]) == 1
    said = capsys.readouterr().out
    assert re.search(r"Problem  [\d.]+% of 24 pictures are right, at least 60\.0% must be", said)
    assert re.search(r"Problem  (every picture gets the label|.* is no better than guessing)", said)
    assert main(["show", "dev"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"Checked  .*: failed: .*% right by litert", shown)
    assert f"Labels   {', '.join(LABELS)}" in shown
    assert main([*promote, "1%"]) == 1
    assert "failed verification" in capsys.readouterr().err
    assert main([*promote, "60%", "--unverified"]) == 1
    assert "answers were right, not 60.0%" in capsys.readouterr().err
    assert main(["verify", "--min-accuracy", "0.5"]) == 2
    assert "needs pictures whose labels are known" in capsys.readouterr().err


def test_a_compiled_form_that_was_damaged_fails_verification_and_is_not_promoted(
    place: Place, sources: Path, capsys: Any, bucket: Bucket
) -> None:
    version = publish(capsys, sources / "bundle")["version"]
    key = key_of(PLACE_PREFIX, version, "model.tflite")
    data = bucket.boto.get_object(Bucket=bucket.name, Key=key)["Body"].read()
    bucket.put(key, data[:-1] + b"!")
    assert main(["verify", place.url]) == 1
    assert "is not what its report is about" in capsys.readouterr().out
    assert main(["promote", "--from", "dev", "--to", "prod"]) == 1
    assert "failed verification" in capsys.readouterr().err


@pytest.mark.parametrize(("form", "name"), [("keras", "out.keras"), ("tflite", "out.tflite"), ("savedmodel", "served")])
def test_what_is_exported_answers_as_what_is_served(
    place: Place, sources: Path, capsys: Any, tmp_path: Path, form: str, name: str
) -> None:
    publish(capsys, sources / "bundle")
    assert main(["export", "--as", form, "--out", str(tmp_path / name)]) == 0
    picture = np.full((1, 8, 8, 3), 128, np.float32)
    given = _answer_of(form, tmp_path / name, picture)
    assert given == pytest.approx(answer(place, 128), abs=1e-6)
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def _answer_of(form: str, path: Path, picture: np.ndarray) -> np.ndarray:
    if form == "keras":
        import keras

        return np.asarray(keras.saving.load_model(path)(picture)).reshape(-1)
    if form == "tflite":
        from classifier.engines.litert_engine import LiteRtEngine

        return np.asarray(LiteRtEngine(path.read_bytes(), 1).predict(picture))
    import tensorflow as tf

    signature = tf.saved_model.load(str(path / "1")).signatures["serving_default"]
    (result,) = signature(picture=tf.constant(picture)).values()
    return np.asarray(result).reshape(-1)


def test_an_export_overwrites_nothing(place: Place, sources: Path, capsys: Any, tmp_path: Path) -> None:
    publish(capsys, sources / "bundle")
    (tmp_path / "there.tflite").write_text("mine")
    assert main(["export", place.url, "--as", "tflite", "--out", str(tmp_path / "there.tflite")]) == 2
    assert (tmp_path / "there.tflite").read_text() == "mine"


def test_folders_are_matched_with_numbered_labels(tmp_path: Path) -> None:
    """Teachable Machine's labels.txt says `0 cat`; pictures lie in a folder called `cat`."""
    from classifier.bundles.serving import ModelShape, parse_serving
    from lifecycle.verify import _pictures

    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        write_picture(tmp_path / label / "1.png", (1, 2, 3))
    serving = parse_serving(b'{"labels": ["0 cat", "1 dog"]}', None, ModelShape(8, 8, 3, 2, "softmax"))

    assert _pictures(tmp_path, serving) == [(tmp_path / "cat" / "1.png", 0), (tmp_path / "dog" / "1.png", 1)]


def _compiled_objects(place: Place, version: str) -> set[str]:
    listed = place.client.list_objects_v2(Bucket=place.bucket, Prefix=f"{place.prefix}compiled/{version}/")
    return {entry["Key"].rpartition("/")[2] for entry in listed["Contents"]}


def test_a_calibration_goes_live_without_compiling_and_can_be_rolled_back(
    place: Place, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = publish(capsys, _model_of_colors(tmp_path), "--labels", tmp_path / "labels.txt")["version"]
    _pictures_of_colors(tmp_path / "known", tmp_path / "foreign")
    monkeypatch.chdir(tmp_path)
    calibrate = ["verify", "--against", "known", "--calibrate", "--sure-right"]
    assert main([*calibrate, "99.9%"]) == 1
    assert "Refused  refused: it takes 2995 pictures at least, all of them right" in capsys.readouterr().out
    assert main([*calibrate, "80%", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calibration"]["threshold"] > 0
    assert served(place) == before
    assert "after: temperature" in (tmp_path / "verify.svg").read_text()

    with monkeypatch.context() as patch:
        patch.setattr("classifier.compiling.compiler.compile_bundle", None)  # nothing may compile
        assert main([*calibrate, "80%", "--foreign", "foreign", "--foreign-pass", "100%", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found, version = told["calibration"], told["published"]
    assert found["temperature"] < 1  # its scores are shyer than it is right
    assert (found["pictures"], found["foreign"]["pictures"]) == (60, 20)
    assert served(place) == version != before
    again = load_served(read_timeline(place), None)
    assert (again.problems, list(again.engines)) == ([], ["tensorflow", "litert"])  # the compiled form came along
    head = again.serving.heads[0]
    assert (head.temperature, head.threshold) == (found["temperature"], found["threshold"])
    picture = np.full((1, 8, 8, 3), (250, 20, 20), np.float32)
    assert again.serving.answer(again.engines["litert"].predict(picture))["sure"] is True
    assert compiled_is_whole(place, version)
    assert _compiled_objects(place, version) == _compiled_objects(place, before)  # what explains the model, too
    current = record.read_current(place)
    assert current is not None
    assert (current.document["action"], current.document["calibration"]) == ("calibrate", found)
    assert current.document["agreement"]["source"]["by"].startswith("Keras")
    assert read_mark(place, version) == read_mark(place, before)
    assert main(["show"]) == 0
    assert f"Sure     from {head.threshold} on; temperature {head.temperature}" in capsys.readouterr().out
    assert main(["rollback"]) == 0
    assert served(place) == before


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--calibrate"], "give --against DIR"),
        (["--foreign", "x"], "--foreign goes with --calibrate"),
        (["--sure-right", "0.9", "--against", "x"], "--sure-right goes with --calibrate"),
        (["--calibrate", "--against", "x", "--foreign-pass", "5%"], "give --foreign DIR"),
        (["--calibrate", "--against", "x", "--version", "abc"], "leave --version out"),
    ],
)
def test_options_of_calibrating_that_do_not_go_together(capsys: Any, asked: list[str], says: str) -> None:
    assert main(["verify", *asked]) == 2
    assert says in capsys.readouterr().err


def _model_of_colors(folder: Path) -> Path:
    """A model that tells red, green and blue pictures apart by their mean, and is shy about it."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax", name="scores"),
        ]
    )
    model.get_layer("scores").set_weights([np.eye(3, dtype=np.float32) / 100, np.zeros(3, np.float32)])
    model.save(folder / "colors.keras")
    (folder / "labels.txt").write_text("red\ngreen\nblue\n")
    return folder / "colors.keras"


def _pictures_of_colors(known: Path, foreign: Path) -> None:
    """60 pictures in the folder of their strongest color, or of the second where that is near; and 20 gray ones."""
    random = np.random.default_rng(5)
    foreign.mkdir()
    for index in range(60):
        color = tuple(map(int, random.integers(0, 256, 3)))
        order = np.argsort(color)
        close = color[order[2]] - color[order[1]] < 25
        home = known / ("red", "green", "blue")[order[1 if close else 2]]
        home.mkdir(parents=True, exist_ok=True)
        write_picture(home / f"{index}.png", color)  # type: ignore[arg-type]
        if index < 20:
            write_picture(foreign / f"{index}.png", (index * 12, index * 12, index * 12))
