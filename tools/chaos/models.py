"""A campaign's two good models, with compiled forms, pictures and the scores that plain Keras gives for them.

Made once, by a process of its own: TensorFlow in the campaign's process would take the sandboxes' memory and cores.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.launch import PROJECT
from local.seed import read_bundle, version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

DEMO = PROJECT / "examples" / "clothing"
NAMES = ("first", "second")
_INPUTS = (
    *(DEMO / name for name in ("architecture.json", "model.weights.h5", "serving.json")),
    *(PROJECT / "classifier" / name for name in ("compiling/compiler.py", "bundles/compiled.py")),
    PROJECT / "classifier" / "engines" / "keras_engine.py",
    Path(__file__),
)


@dataclass(frozen=True, slots=True)
class Answers:
    """What one version must answer: its labels, and for each picture the scores in the labels' order."""

    labels: tuple[str, ...]
    scores: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Models:
    """Folders of the good bundles, the pictures by name, and the right answers by version."""

    bundles: tuple[Path, Path]
    pictures: Mapping[str, bytes]
    answers: Mapping[str, Answers]


def prepare(work: Path = PROJECT / "build" / "chaos") -> Models:
    """The models, made when there are none of these inputs yet (about 15 s)."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in _INPUTS)).hexdigest()[:16]
    folder = work / digest
    if not (folder / "answers.json").exists():
        shutil.rmtree(work, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "tools.chaos.models", str(folder)]
        subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    told: dict[str, Any] = json.loads((folder / "answers.json").read_text())
    answers = {
        version: Answers(tuple(given["labels"]), {name: tuple(row) for name, row in given["scores"].items()})
        for version, given in told.items()
    }
    pictures = {path.name: path.read_bytes() for path in sorted((folder / "pictures").iterdir())}
    return Models((folder / NAMES[0], folder / NAMES[1]), pictures, answers)


def _write_pictures(folder: Path) -> None:
    """Samples as they are, and one of them in each other format that is allowed."""
    from PIL import Image

    folder.mkdir()
    samples = sorted((DEMO / "samples").rglob("*.jpg"))[::3]
    for number, sample in enumerate(samples):
        (folder / f"sample-{number}.jpg").write_bytes(sample.read_bytes())
    image = Image.open(samples[0])
    image.save(folder / "converted.png")
    image.save(folder / "converted.bmp")
    image.save(folder / "converted.gif")
    image.save(folder / "converted.webp", lossless=True)
    image.save(folder / "progressive.jpg", progressive=True)


def _write_bundles(folder: Path) -> None:
    """The demo, and a small model of another architecture, with other labels for other scores."""
    import keras

    first, second = (folder / name for name in NAMES)
    for target in (first, second):
        target.mkdir()
    for name in ("architecture.json", "model.weights.h5", "serving.json"):
        (first / name).write_bytes((DEMO / name).read_bytes())
    keras.utils.set_random_seed(2017)
    layers = keras.layers
    serving = json.loads((first / "serving.json").read_text())
    serving["labels"] = [f"{label} of the second" for label in serving["labels"]]
    stack = [
        keras.Input((*serving["preprocessing"]["size"], 3)),
        layers.Conv2D(8, 5, strides=3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(
            len(serving["labels"]), activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=4)
        ),
    ]
    model = keras.Sequential(stack)
    (second / "architecture.json").write_text(model.to_json())
    model.save_weights(second / "model.weights.h5")
    (second / "serving.json").write_text(json.dumps(serving))


def _compile(folder: Path) -> None:
    """What the compile function writes for the bundle, into the bundle's folder."""
    from classifier.bundles.bundle import ROLES, Part, Snapshot
    from classifier.bundles.compiled import REPORT
    from classifier.bundles.reader import Bundle
    from classifier.compiling.compile_job import FORM_FILES
    from classifier.compiling.compiler import compile_bundle

    files = read_bundle(folder)
    # An object's ETag is its MD5: the same content by hand is then known to be the same model.
    etags = {name: hashlib.md5(data, usedforsecurity=False).hexdigest() for name, data in files.items()}
    parts = tuple(Part(ROLES[name], name, etags[name], len(data), 0.0) for name, data in files.items())
    version = version_of(files)
    bundle = Bundle(Snapshot(parts, 0.0), {ROLES[name]: data for name, data in files.items()}, version)
    report, forms = compile_bundle(bundle, [])
    assert report.usable, report.reason
    target = folder / "compiled" / version
    target.mkdir(parents=True)
    for form, data in forms.items():
        (target / FORM_FILES[form]).write_bytes(data)
    (target / REPORT).write_bytes(report.to_json())


def main(argv: list[str]) -> int:
    """Make everything in one folder; `answers.json` last, so that it stands for the whole."""
    from tests.support.demo import plain_keras

    folder = Path(argv[0])
    _write_pictures(folder / "pictures")
    _write_bundles(folder)
    pictures = tuple(sorted((folder / "pictures").iterdir()))
    answers = {}
    for bundle in (folder / name for name in NAMES):
        _compile(bundle)
        labels = json.loads((bundle / "serving.json").read_text())["labels"]
        answers[version_of(read_bundle(bundle))] = {"labels": labels, "scores": dict(plain_keras(bundle, pictures))}
    (folder / "answers.json").write_text(json.dumps(answers))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
