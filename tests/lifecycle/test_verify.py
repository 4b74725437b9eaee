"""What `verify` finds in S3, and what `export` makes of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.bundles.compiled import key_of
from lifecycle.command import main
from lifecycle.marks import read_mark
from lifecycle.place import Place
from tests.conftest import PLACE_PREFIX, Bucket
from tests.support.model_sources import LABELS, answer, publish, write_picture

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
