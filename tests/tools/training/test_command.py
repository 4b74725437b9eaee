"""Training a first model: what it reads, refuses and writes, and that the committed model is as reported."""

import hashlib
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from local.launch import PROJECT
from tools.training import architecture, command, fitting, pictures, report

if TYPE_CHECKING:
    import keras

CLOTHING = PROJECT / "examples" / "clothing"
RED, BLUE = (200, 30, 40), (30, 60, 210)


def paint(path: Path, colour: tuple[int, int, int], number: int = 0) -> Path:
    """One plain picture; `number` shifts its shade and size, so that no two files are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = tuple(min(255, channel + number % 40) for channel in colour)
    Image.new("RGB", (40 + number % 7, 30 + number % 5), shade).save(path)
    return path


def make_tree(root: Path, classes: Sequence[str] = ("blue things", "red things"), each: int = 24) -> Path:
    for label, colour in zip(classes, (BLUE, RED, (40, 160, 60)), strict=False):
        for number in range(each):
            paint(root / label / f"{number}.png", colour, number)
    return root


@dataclass(frozen=True, slots=True)
class Run:
    out: Path
    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A real, tiny training by the script itself, on two trivial classes with one broken picture among them."""
    base = tmp_path_factory.mktemp("train")
    data = make_tree(base / "data")
    (data / "red things" / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    paint(base / "out" / "samples" / "red things" / "sample.png", RED)
    script, out = str(PROJECT / "scripts" / "train_demo"), str(base / "out")
    argv = [script, "--data", str(data), "--out", out, "--size", "32", "--epochs", "30"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=base, timeout=300, check=False)
    return Run(base / "out", done.returncode, done.stdout, done.stderr)


def load(folder: Path) -> "keras.Model":
    import keras

    model = keras.models.model_from_json((folder / "architecture.json").read_text())
    model.load_weights(folder / "model.weights.h5")
    return model


def classify(folder: Path, paths: Sequence[Path]) -> list[tuple[str, float]]:
    """Best label and score as Keras itself computes them from serving.json's preprocessing."""
    import keras
    import numpy as np

    serving = json.loads((folder / "serving.json").read_text())
    how = serving["preprocessing"]
    loaded = [keras.utils.load_img(p, target_size=tuple(how["size"]), interpolation=how["filter"]) for p in paths]
    pixels = np.stack([keras.utils.img_to_array(image) for image in loaded])
    scaled = keras.applications.imagenet_utils.preprocess_input(pixels, mode=how["scale"])
    scores = load(folder).predict_on_batch(scaled)
    return [(serving["labels"][int(row.argmax())], float(row.max())) for row in scores]


@pytest.mark.tensorflow
def test_trained_bundle_loads_in_keras_and_classifies_pictures_it_never_saw(run: Run, tmp_path: Path) -> None:
    assert run.code == 0, run.stderr
    unseen = [paint(tmp_path / "a.png", (215, 40, 60)), paint(tmp_path / "b.png", (20, 80, 190))]
    assert [label for label, _ in classify(run.out, unseen)] == ["red things", "blue things"]


@pytest.mark.tensorflow
def test_serving_json_says_how_the_pixels_were_made(run: Run) -> None:
    assert json.loads((run.out / "serving.json").read_text()) == {
        "labels": ["blue things", "red things"],
        "output": "softmax",
        "top_k": 2,
        "preprocessing": {
            "pixels": "keras",
            "size": [32, 32],
            "resize": "stretch",
            "filter": "bilinear",
            "color": "rgb",
            "scale": "tf",
        },
    }


@pytest.mark.tensorflow
def test_report_says_what_was_skipped_and_how_good_the_model_is(run: Run) -> None:
    figures = json.loads((run.out / "report.json").read_text())
    assert figures["skipped_pictures"] == ["red things/broken.jpg"]
    assert figures["labels"] == ["blue things", "red things"]
    assert figures["train_pictures"] + figures["validation"]["pictures"] + figures["test"]["pictures"] == 48
    assert figures["test"]["accuracy"] == 1.0
    assert [(s["file"], s["answer"]) for s in figures["samples"]] == [("samples/red things/sample.png", "red things")]
    assert "broken.jpg" in run.stderr


@pytest.mark.tensorflow
def test_last_line_says_what_to_do_next(run: Run) -> None:
    assert run.stdout.splitlines()[-1].endswith(f"npm start -- --model {run.out}")


@pytest.mark.tensorflow
def test_test_split_is_left_alone_when_told_so(tmp_path: Path) -> None:
    tree = pictures.find_tree(make_tree(tmp_path / "data", each=10), seed=1)
    read = {name: pictures.read_pixels(tree.splits[name], 32) for name in ("train", "validation")}
    fitted = fitting.Fitted(architecture.build(2, 32), epochs=1, minutes=0.1, cpu_minutes=0.1)
    options = command._parser().parse_args(["--data", ".", "--out", str(tmp_path), "--size", "32", "--no-test"])
    command._write_bundle(fitted, tree, tmp_path, 32)
    figures = command._report(fitted, tree, read, options, "a command")
    assert figures.test is None
    assert figures.validation is not None
    assert "looked at once" not in report.as_markdown(figures)


def without_folder(root: Path) -> Path:
    return root / "nowhere"


def with_one_class(root: Path) -> Path:
    return make_tree(root, ["hat"])


def with_nothing(root: Path) -> Path:
    return root


def with_empty_class(root: Path) -> Path:
    (make_tree(root, each=3) / "shoes").mkdir()
    return root


def with_unknown_class(root: Path) -> Path:
    make_tree(root / "train", each=3)
    make_tree(root / "validation", ["blue things", "red things", "green things"], each=1)
    return root


def with_only_broken_pictures(root: Path) -> Path:
    make_tree(root, each=10)
    (root / "hat").mkdir()
    for number in range(10):
        (root / "hat" / f"{number}.jpg").write_bytes(b"nothing")
    return root


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (without_folder, "is not a folder"),
        (with_one_class, "only the class 'hat'; it needs at least two classes"),
        (with_nothing, "holds no folder; it needs at least two classes"),
        (with_empty_class, "No pictures in {root} for: shoes."),
        (with_unknown_class, "classes that train does not: green things"),
        pytest.param(with_only_broken_pictures, "No readable training picture for: hat", marks=pytest.mark.tensorflow),
    ],
)
def test_folder_that_cannot_be_trained_on_is_refused(
    make: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    data = make(tmp_path / "data")
    assert command.main(["--data", str(data), "--out", str(tmp_path / "out")]) == 2
    assert said.format(root=tmp_path / "data") in capsys.readouterr().err
    assert not (tmp_path / "out" / "architecture.json").exists()


@pytest.mark.parametrize(
    ("option", "value"), [("--size", "31"), ("--size", "513"), ("--size", "big"), ("--epochs", "0"), ("--minutes", "0")]
)
def test_option_out_of_range_is_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main(["--data", ".", option, value])
    assert stopped.value.code == 2
    assert option in capsys.readouterr().err


def test_split_folders_are_kept_as_they_are(tmp_path: Path) -> None:
    for name, each in (("train", 5), ("validation", 2), ("test", 3)):
        make_tree(tmp_path / name, each=each)
    tree = pictures.find_tree(tmp_path, seed=1)
    assert {name: len(files) for name, files in tree.splits.items()} == {"train": 10, "validation": 4, "test": 6}
    assert all(path.relative_to(tmp_path).parts[0] == name for name, files in tree.splits.items() for path, _ in files)


def test_missing_splits_are_drawn_from_every_class_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    first, again, other = (pictures.find_tree(make_tree(tmp_path), seed) for seed in (1, 1, 2))
    assert first.splits == again.splits
    assert first.splits["test"] != other.splits["test"]
    every = [path for files in first.splits.values() for path, _ in files]
    assert len(every) == len(set(every)) == 48
    assert all({target for _, target in files} == {0, 1} for files in first.splits.values())


@pytest.mark.tensorflow
def test_training_pixels_are_those_of_keras(tmp_path: Path) -> None:
    import keras
    import numpy as np

    path = tmp_path / "noise.png"
    Image.effect_noise((123, 77), 90).convert("RGB").save(path)
    expected = np.asarray(keras.utils.load_img(path, target_size=(96, 96), interpolation="bilinear"))
    assert np.array_equal(pictures.read_picture(path, 96), expected)


def test_turned_and_transparent_pictures_are_read_as_the_service_reads_them(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 32), RED)
    image.paste(BLUE, (0, 0, 32, 32))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter: the left half becomes the upper one
    image.save(tmp_path / "turned.png", exif=exif)
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    turned = pictures.read_picture(tmp_path / "turned.png", 32)
    assert (tuple(turned[0, 31]), tuple(turned[31, 0])) == (BLUE, RED)
    assert pictures.read_picture(tmp_path / "clear.png", 4).min() == 255


def test_plan_grows_to_the_serving_size_and_ends_at_rate_zero() -> None:
    plan = fitting.Plan(size=96, epochs=10, minutes=1, seed=1)
    assert [plan.size_at(progress) for progress in (0.0, 0.54, 0.55, 0.84, 0.85, 1.0)] == [64, 64, 80, 80, 96, 96]
    assert plan.rate(fitting.WARM_UP) == plan.peak_rate
    assert plan.rate(1.0) == 0.0


def committed_report() -> report.Report:
    raw = json.loads((CLOTHING / "report.json").read_text())
    splits = {name: report.SplitFigures(**raw[name]) for name in ("test", "validation")}
    return report.Report(**{**raw, **splits, "samples": [report.SampleAnswer(**s) for s in raw["samples"]]})


def test_committed_figures_agree_with_their_own_confusion_matrices() -> None:
    figures = committed_report()
    for split in (figures.test, figures.validation):
        assert split is not None
        right = sum(row[index] for index, row in enumerate(split.confusion))
        assert sum(map(sum, split.confusion)) == split.pictures
        assert split.accuracy == round(right / split.pictures, 4)


def test_committed_model_is_as_good_as_the_documentation_promises() -> None:
    figures = committed_report()
    assert figures.test is not None
    assert figures.test.accuracy >= 0.82
    assert figures.training_minutes <= 25


def test_committed_page_is_the_one_of_the_committed_report() -> None:
    assert (CLOTHING / "README.md").read_text() == report.as_markdown(committed_report())


def test_committed_weights_are_under_four_megabytes() -> None:
    size = (CLOTHING / "model.weights.h5").stat().st_size
    assert size == committed_report().weights_bytes
    assert size < 4_000_000


@pytest.mark.tensorflow
def test_committed_model_answers_the_committed_samples_as_reported() -> None:
    samples = committed_report().samples
    answers = classify(CLOTHING, [CLOTHING / sample.file for sample in samples])
    assert [label for label, _ in answers] == [sample.answer for sample in samples]
    assert [score for _, score in answers] == pytest.approx([sample.score for sample in samples], abs=1e-3)


@pytest.mark.tensorflow
def test_committed_model_has_the_reported_parameters_and_only_plain_keras_layers() -> None:
    model = load(CLOTHING)
    config = json.loads((CLOTHING / "architecture.json").read_text())["config"]
    assert model.count_params() == committed_report().parameters
    assert {layer["module"] for layer in config["layers"]} == {"keras.layers"}
    assert "Lambda" not in {layer["class_name"] for layer in config["layers"]}


def test_committed_samples_are_twelve_of_three_classes_and_unchanged() -> None:
    folder = CLOTHING / "samples"
    sums = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
    files = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))
    assert [name for _, name in sums] == files
    assert [name.split("/")[0] for name in files] == ["pants"] * 4 + ["shoes"] * 4 + ["t-shirt"] * 4
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for digest, name in sums)
