"""Which numbers a model gets for its pictures, and what is said where its own layers and its pipeline contradict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.pictures.preprocessing import Preprocessing
from lifecycle.command import main
from lifecycle.input_range import one_label_for_all, seen
from lifecycle.place import Place
from tests.support.model_sources import write_picture

TWICE, BEFORE, AS_THEY_ARE = "pictures are scaled twice", "seems to expect them scaled before", "pixels as they are"


def model_of(*layers: Any) -> tuple[bytes, Any]:
    """The JSON of a model that begins with these layers, and the loaded model."""
    from types import SimpleNamespace

    import keras

    picture = tensor = keras.Input((8, 8, 3))
    for layer in layers:
        tensor = layer(tensor)
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(tensor))
    model = keras.Model(picture, keras.layers.Dense(3, activation="softmax")(pooled))
    return model.to_json().encode(), SimpleNamespace(module=SimpleNamespace(model=model))


def _layers(names: str) -> list[Any]:
    """Layers that scale, by what a test calls them."""
    import keras

    def nested() -> Any:
        inside = keras.Input((8, 8, 3))
        return keras.Model(inside, keras.layers.Rescaling(1 / 127.5, offset=-1)(inside))

    def normalized(mean: float, variance: float) -> Any:
        return keras.layers.Normalization(mean=[mean] * 3, variance=[variance] * 3)

    made = {
        "rescaling": lambda: keras.layers.Rescaling(1 / 127.5, offset=-1),
        "from unit": lambda: keras.layers.Rescaling(2.0, offset=-1),
        "nested": nested,
        "augmented": lambda: keras.layers.RandomFlip("horizontal"),
        "preprocess_input": lambda: keras.applications.mobilenet_v2.preprocess_input,
        "divided": lambda: lambda tensor: tensor / 255.0,
        "of pixels": lambda: normalized(120.0, 4900.0),
        "of unit": lambda: normalized(0.47, 0.075),
        "of channels": lambda: keras.layers.Normalization(
            mean=[123.675, 116.28, 103.53], variance=[58.395**2, 57.12**2, 57.375**2]
        ),
        "batch": keras.layers.BatchNormalization,
    }
    return [made[name]() for name in names.split(", ") if name]


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("layers", "scale", "after", "says"),
    [
        ("rescaling", "none", (-1, 1), ""),
        ("rescaling", "tf", (-1.0078, -0.9922), TWICE),
        ("rescaling", "unit", (-1, -0.9922), TWICE),
        ("rescaling", "caffe", (-1.9711, 0.1848), ""),  # a centred picture keeps its contrast
        ("augmented, rescaling", "tf", (-1.0078, -0.9922), TWICE),
        ("nested", "tf", (-1.0078, -0.9922), TWICE),
        ("preprocess_input", "none", (-1, 1), ""),
        ("preprocess_input", "tf", (-1.0078, -0.9922), TWICE),
        ("divided", "unit", (0, 0.003922), TWICE),
        ("from unit", "unit", (-1, 1), ""),
        ("from unit", "none", (-1, 509), BEFORE),
        ("of pixels", "none", (-1.714, 1.929), ""),
        ("of pixels", "tf", (-1.729, -1.7), TWICE),
        ("of channels", "none", (-2.118, 2.64), ""),
        ("of channels", "tf", (-2.135, -1.787), TWICE),  # each channel is flat, on a level of its own
        ("of unit", "unit", (-1.716, 1.935), ""),
        ("of unit", "none", (-1.716, 929.4), BEFORE),
        ("", "none", (0, 255), AS_THEY_ARE),
        ("", "tf", (-1, 1), ""),
        ("batch", "none", (0, 255), ""),  # its statistics scale
    ],
)
def test_the_numbers_are_those_of_the_pipeline_and_the_layers(
    layers: str, scale: Any, after: tuple[float, float], says: str
) -> None:
    preprocessing = Preprocessing(size=(8, 8), scale=scale)
    found = seen(preprocessing, *model_of(*_layers(layers)))
    assert found.after == pytest.approx(after, rel=2e-3, abs=1e-3)
    doubt = found.doubt(preprocessing, stated=False)
    assert says in doubt
    assert bool(doubt) == bool(says)
    assert found.doubt(preprocessing, stated=True) == ("" if says == AS_THEY_ARE else doubt)


def test_what_depends_on_the_picture_has_no_range() -> None:
    found = seen(Preprocessing(size=(8, 8), standardize="per_image"), None, None)
    assert str(found) == "each picture by its own mean and deviation"
    assert found.doubt(Preprocessing(size=(8, 8)), stated=False) == ""


@pytest.mark.parametrize(
    ("counts", "sure", "doubted"),
    [
        ({"cat": 5}, False, True),
        ({"cat": 4}, False, False),
        ({"cat": 3}, True, True),
        ({"cat": 2}, True, False),
        ({"cat": 9, "dog": 1}, True, False),
        ({}, False, False),
    ],
)
def test_one_label_for_all_is_doubted_from_five_pictures_on_or_three_sure_ones(
    counts: dict[str, int], sure: bool, doubted: bool
) -> None:
    assert bool(one_label_for_all(counts, sure=sure)) == doubted


@pytest.fixture(scope="module")
def saturating(tmp_path_factory: Any) -> Path:
    """A model of pixels from 0 to 1: given 255 times as much it is sure of whatever it sees."""
    import keras

    path: Path = tmp_path_factory.mktemp("saturating") / "model.keras"
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    )
    model.layers[-1].set_weights([np.tile(np.array([0.0, 0.01, 0.03], np.float32), (192, 1)), np.zeros(3, np.float32)])
    model.save(path)
    return path


@pytest.mark.tensorflow
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("asked", "code", "says"),
    [
        ("--trained-with ImageDataGenerator", 1, "refused: the model gets pixels as they are"),
        ("--trained-with image_dataset_from_directory", 1, "its scores are saturated"),
        ("--trained-with tf.image", 1, "rescale=1/255"),
        ("--trained-with opencv", 1, "--yes publishes it all the same"),
        ("--trained-with opencv --yes", 0, "Warning: the model gets pixels as they are"),
        ("--trained-with ImageDataGenerator(rescale=1/255)", 0, ""),
        ("--trained-with load_img(preprocess_input=mobilenet_v2)", 0, ""),
        ("--trained-with load_img --preprocessing none", 0, ""),
    ],
)
def test_a_call_without_the_scaling_does_not_go_live_unless_told_to(
    saturating: Path, sources: Path, asked: str, code: int, says: str, capsys: Any
) -> None:
    labels = ["--labels", str(sources / "labels.txt")]
    assert main(["publish", str(saturating), *labels, *asked.split(), "--dry-run"]) == code
    told = capsys.readouterr().err
    assert says in told if says else "Warning" not in told


@pytest.mark.tensorflow
@pytest.mark.usefixtures("place")
def test_pictures_scaled_twice_are_refused_unless_told_to(tmp_path: Path, capsys: Any) -> None:
    import keras

    layers = [keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(3)]
    keras.Sequential(layers).save(tmp_path / "model.keras")
    asked = ["publish", str(tmp_path / "model.keras"), "--scores", "logits", "--preprocessing", "unit", "--dry-run"]
    assert main(asked) == 1
    assert f"refused: {TWICE}" in capsys.readouterr().err
    assert main([*asked, "--yes"]) == 0
    assert f"Warning: {TWICE}" in capsys.readouterr().err


@pytest.mark.tensorflow
@pytest.mark.usefixtures("place")
def test_publishing_prints_the_range_and_warns_before_anything_is_live(
    sources: Path, tmp_path: Path, capsys: Any, place: Place
) -> None:
    random = np.random.default_rng(3)
    for index in range(5):
        write_picture(tmp_path / f"{index}.png", tuple(map(int, random.integers(0, 256, 3))))  # type: ignore[arg-type]
    labels = ["--labels", str(sources / "labels.txt")]
    asked = ["publish", str(sources / "model.keras"), *labels, "--to", place.url, "--dry-run"]
    assert main([*asked, "--sample", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "Input    0 to 255" in told.out
    assert f"Warning: the model gets {AS_THEY_ARE}" in told.err
    assert "Warning: all 5 pictures get the label" in told.err
    (tmp_path / "4.png").write_bytes((tmp_path / "3.png").read_bytes())  # four different ones
    assert main([*asked, "--preprocessing", "none", "--sample", str(tmp_path)]) == 0
    assert "Warning" not in capsys.readouterr().err
