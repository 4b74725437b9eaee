"""Labels in another order than the model's are told: by name, by pictures, and by the call of the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from lifecycle.command import main
from lifecycle.label_order import other_order, unsorted_folders
from lifecycle.scoring import judge

if TYPE_CHECKING:
    from pathlib import Path

    from lifecycle.scoring import Quality

LABELS = ("ant", "bee", "cat", "dog")


def confused(*named: int) -> Quality:
    """Ten pictures of each class, of which eight get the label of this index, and the others their neighbours'."""
    classes = [index for index in range(len(named)) for _ in range(10)]
    best = [(named[index] + (number % 5 == 4)) % len(named) for number, index in enumerate(classes)]
    return judge(np.eye(len(named))[best], classes)


@pytest.mark.parametrize(
    ("labels", "named", "says"),
    [
        (LABELS, (0, 1, 2, 3), ""),
        (
            LABELS[::-1],
            (3, 2, 1, 0),
            "sorted by name, as Keras numbers folders, the labels would be right for 80.0% of",
        ),
        (LABELS[::-1], (0, 1, 2, 3), ""),
        (LABELS, (0, 2, 1, 3), "the labels 'bee' and 'cat' seem to be exchanged"),
        (LABELS, (1, 2, 0, 3), "most pictures of 'ant' get 'bee', 'bee' get 'cat', 'cat' get 'ant'"),
        (LABELS, (0, 0, 2, 3), ""),  # two classes that look alike to the model
        (LABELS, (0, 0, 0, 0), ""),
    ],
)
def test_an_order_is_told_where_it_is_clear(labels: tuple[str, ...], named: tuple[int, ...], says: str) -> None:
    told = other_order([confused(*named)], labels)
    assert says in told
    assert bool(told) == bool(says)


def test_few_pictures_tell_no_order() -> None:
    assert other_order([judge(np.eye(2)[[1, 1, 0, 0]], [0, 0, 1, 1])], ("a", "b")) == ""


@pytest.mark.parametrize(
    ("call", "labels", "doubted"),
    [
        ("image_dataset_from_directory", ("dog", "cat"), True),
        ("ImageDataGenerator(rescale=1/255)", ("0", "1", "2", "10"), True),
        ("image_dataset_from_directory", ("0", "1", "10", "2"), False),
        ("image_dataset_from_directory(class_names=['dog', 'cat'])", ("dog", "cat"), False),
        ("ImageDataGenerator(classes=['dog', 'cat'])", ("dog", "cat"), False),
        ("load_img", ("dog", "cat"), False),
    ],
)
def test_labels_that_keras_would_have_sorted(call: str, labels: tuple[str, ...], doubted: bool) -> None:
    assert bool(unsorted_folders([call], labels)) == doubted


@pytest.fixture(scope="module")
def corners(tmp_path_factory: Any) -> Path:
    """A model that names the brightest row of four, and pictures of each label."""
    import keras

    folder: Path = tmp_path_factory.mktemp("corners")
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(4, activation="softmax")]
    )
    model.layers[-1].set_weights([np.kron(np.eye(4, dtype=np.float32), np.ones((12, 1), np.float32)), np.zeros(4)])
    model.save(folder / "model.keras")
    random = np.random.default_rng(2)
    for index, label in enumerate(LABELS):
        (folder / "known" / label).mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 100, (4, 4, 3), np.uint8)
            pixels[index] += 120
            Image.fromarray(pixels).save(folder / "known" / label / f"{number}.png")
    (folder / "right.txt").write_text("\n".join(LABELS))
    (folder / "reversed.txt").write_text("\n".join(LABELS[::-1]))
    (folder / "three.txt").write_text("\n".join(LABELS[:3]))
    return folder


@pytest.mark.tensorflow
@pytest.mark.usefixtures("place")
def test_reversed_labels_do_not_go_live_unless_told_to(corners: Path, capsys: Any) -> None:
    asked = ["publish", str(corners / "model.keras"), "--trained-with", "image_dataset_from_directory", "--dry-run"]
    asked += ["--against", str(corners / "known"), "--labels"]
    assert main([*asked, str(corners / "reversed.txt")]) == 1
    told = capsys.readouterr()
    assert "Warning: image_dataset_from_directory numbers the labels by the sorted names of their folders" in told.err
    assert "refused: by no pipeline is the model better than guessing (0.0% of 24 pictures right)" in told.err
    assert "sorted by name, as Keras numbers folders, the labels would be right for 100.0%" in told.err
    assert main([*asked, str(corners / "reversed.txt"), "--yes"]) == 0
    told = capsys.readouterr()
    assert "Warning: by no pipeline" in told.err
    assert "Pipeline image_dataset_from_directory; 0 to 255: asked for; with none of those tried" in told.out
    assert main([*asked, str(corners / "right.txt")]) == 0
    told = capsys.readouterr()
    assert "Pipeline image_dataset_from_directory; 0 to 255: asked for" in told.out
    assert "100.0% of 24 pictures right" in told.out
    assert "asked for" in told.err
    assert "Warning" not in told.err


@pytest.mark.usefixtures("place")
def test_what_files_show_is_said_before_anything_is_loaded(corners: Path, capsys: Any) -> None:
    asked = ["publish", str(corners / "model.keras"), "--dry-run", "--labels"]
    assert main([*asked, str(corners / "three.txt")]) == 1
    assert "3 labels for 4 scores" in (said := capsys.readouterr().err)
    assert "comparing" not in said
    (corners / "elsewhere" / "eel").mkdir(parents=True)
    assert main([*asked, str(corners / "right.txt"), "--against", str(corners / "elsewhere")]) == 2
    assert "eel: no labels of the model" in (said := capsys.readouterr().err)
    assert "comparing" not in said
