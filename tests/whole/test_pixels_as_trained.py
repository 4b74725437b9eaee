"""Models trained by image_dataset_from_directory answer over HTTP as Keras does on that call's own pixels.

Ten minutes, and photographs that are not in here: FULL=1 PHOTOS=DIR runs it, DIR with train/, validation/ and test/
folders of a folder a label. The models stay in build/trained-pipelines.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import urllib3

from lifecycle.command import main
from tests.conftest import aws_environment
from tests.support.demo import demo
from tests.support.trained_pipelines import PIPELINES, files, trained

if TYPE_CHECKING:
    from local.s3 import LocalS3

type Array = np.ndarray[Any, np.dtype[np.float32]]

PHOTOS = Path(os.environ.get("PHOTOS", "/nowhere"))
pytestmark = [
    pytest.mark.lambda_,
    pytest.mark.tensorflow,
    pytest.mark.skipif(not os.environ.get("FULL"), reason="trains two models, ten minutes: FULL=1 PHOTOS=DIR"),
]


@pytest.fixture(scope="module")
def photos() -> Path:
    assert (PHOTOS / "train").is_dir(), "PHOTOS names a folder with train/, validation/ and test/"
    return PHOTOS


@pytest.fixture(scope="module")
def held(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every picture that no model was trained on, a folder a label."""
    folder = tmp_path_factory.mktemp("held")
    for split in ("validation", "test"):
        for path, _ in files(photos / split):
            (folder / path.parent.name).mkdir(exist_ok=True)
            (folder / path.parent.name / f"{split}-{path.name}").symlink_to(path)
    return folder


@pytest.fixture(autouse=True)
def credentials(s3_server: LocalS3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment(s3_server.endpoint).items():
        monkeypatch.setenv(name, value)


@dataclass(frozen=True, slots=True)
class Answers:
    """Best labels and scores of each picture, as one way gave them."""

    scores: Array

    def compared(self, other: Answers) -> tuple[int, float, float]:
        """Equal labels; how far the best score moved, mean and largest."""
        best = other.scores.argmax(1)
        rows = np.arange(len(best))
        moved = np.abs(self.scores[rows, best] - other.scores[rows, best])
        return int((self.scores.argmax(1) == best).sum()), float(moved.mean()), float(moved.max())


def over_http(path: Path, held: Path, s3: LocalS3, empty: Path, engine: str, *options: str) -> Answers:
    """What the published model answers for each picture over HTTP."""
    labels = json.loads(path.with_suffix(".json").read_text())
    suffix = f"{path.stem}-{engine}-{len(options)}"
    with demo(s3, suffix, empty, ENGINE=engine) as running:
        given = ["--labels", path.with_suffix(".json"), "--to", f"s3://{running.models}/{running.prefix}", *options]
        assert main(["publish", str(path), *map(str, given), "--json"]) == 0
        http, rows = urllib3.PoolManager(timeout=120), []
        for picture, _ in files(held):
            url, body = f"{running.cloud.url}/classify?top={len(labels)}", picture.read_bytes()
            reply = http.request("POST", url, body=body, headers={"Content-Type": "image/jpeg"})
            while reply.status == 503:
                reply = http.request("POST", url, body=body, headers={"Content-Type": "image/jpeg"})
            document = json.loads(reply.data)
            assert reply.status == 200, document
            assert document["model"]["engine"] == engine
            scores = {each["label"]: each["score"] for each in document["predictions"]}
            rows.append([scores[label] for label in labels])
    return Answers(np.array(rows, np.float32))


@pytest.mark.parametrize("name", ["dataset", "dataset-crop"])
def test_answers_over_http_are_the_trainings_own(
    name: str, photos: Path, held: Path, s3_server: LocalS3, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import keras

    path = trained(name, photos / "train")
    pictures, classes = PIPELINES[name].read(held)
    own = Answers(keras.models.load_model(path).predict(pictures, verbose=0))
    scale = ["--preprocessing", PIPELINES[name].fields["scale"]]
    fields = PIPELINES[name].fields
    as_trained = [*scale, "--pixels", "tensorflow", "--filter", "bilinear", "--resize", fields.get("resize", "stretch")]
    as_advised_before = [*scale, "--pixels", "keras", *as_trained[4:]]
    found = {
        f"{engine}, {options[3]}": over_http(path, held, s3_server, tmp_path, engine, *options)
        for engine, options in (
            ("litert", as_trained),
            ("tensorflow", as_trained),
            ("litert", as_advised_before),
        )
    }
    right = float((own.scores.argmax(1) == np.array(classes)).mean())
    with capsys.disabled():
        print(f"\n== {name}: {right:.1%} right by Keras itself, of {len(classes)} held pictures")
        for way, answers in found.items():
            equal, mean, most = answers.compared(own)
            print(f"{way}: {equal} labels equal, best score moved {mean:.6f} on average, {most:.6f} at most")
    for engine in ("litert", "tensorflow"):
        equal, _, most = found[f"{engine}, tensorflow"].compared(own)
        assert equal == len(classes)
        assert most < 1e-4
