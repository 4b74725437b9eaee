"""Small models, each trained through a real pipeline of its own: the calls that people train with, on a folder a label.

Every pipeline decodes and resizes with its own library; nothing of ours touches a pixel here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIDE = 96
SIZE = (SIDE, SIDE)
A_LABEL, EPOCHS, BATCH, RATE = 100, 8, 25, 3e-3
type Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Trained:
    """A pipeline: `read` gives a folder's pictures, as the training saw them; `fields` are what serving.json calls it.

    `rescaling` is a layer inside the model, so that no caller sees what it does.
    """

    read: Callable[[Path], tuple[Array, list[int]]]
    fields: dict[str, Any]
    rescaling: tuple[float, float] | None = None


def files(folder: Path) -> list[tuple[Path, int]]:
    """A folder's pictures in Keras's order, by labels and names, with the index of each one's label."""
    labels = sorted(item for item in folder.iterdir() if item.is_dir())
    return [(path, index) for index, label in enumerate(labels) for path in sorted(label.iterdir())]


def dataset(scale: tuple[float, float] = (1, 0), **options: Any) -> Callable[[Path], tuple[Array, list[int]]]:
    """`image_dataset_from_directory`, and `map` by a factor and an offset afterwards."""

    def read(folder: Path) -> tuple[Array, list[int]]:
        import keras

        given = {"image_size": SIZE, "batch_size": None, "shuffle": False, "verbose": False, **options}
        found = keras.utils.image_dataset_from_directory(folder, **given)
        rows = [(np.asarray(picture, np.float32), int(label)) for picture, label in found]
        return np.stack([row for row, _ in rows]) * np.float32(scale[0]) + np.float32(scale[1]), [
            label for _, label in rows
        ]

    return read


TF = {"pixels": "tensorflow"}
UNIT, CENTRED = (1 / 255, 0.0), (1 / 127.5, -1.0)
PIPELINES: dict[str, Trained] = {
    "dataset": Trained(dataset(), {**TF, "scale": "none"}, UNIT),
    "dataset-crop": Trained(dataset(CENTRED, crop_to_aspect_ratio=True), {**TF, "resize": "crop", "scale": "tf"}),
}


def network(pipeline: Trained, labels: int) -> Any:
    """A compact CNN for pictures of SIZE."""
    import keras
    from keras import layers

    def blocks() -> Iterator[Any]:
        if pipeline.rescaling:
            yield layers.Rescaling(*pipeline.rescaling)
        for filters in (24, 48, 64, 96):
            yield layers.Conv2D(filters, 3, 2, "same", use_bias=False)
            yield layers.BatchNormalization(momentum=0.95)
            yield layers.ReLU()
        yield layers.GlobalAveragePooling2D()
        yield layers.Dense(labels, activation="softmax")

    return keras.Sequential([keras.Input((*SIZE, 3)), *blocks()])


def train(name: str, photos: Path, path: Path) -> None:
    """Train the pipeline's model on some of `photos`, a folder a label, and write it with its labels beside it."""
    import keras

    pipeline = PIPELINES[name]
    keras.utils.set_random_seed(sum(name.encode()))
    with TemporaryDirectory() as some:
        labels = chosen(photos, Path(some), A_LABEL)
        pictures, targets = pipeline.read(Path(some))
    both, targets = np.concatenate([pictures, pictures[:, :, ::-1]]), targets * 2  # mirrored ones, too
    model = network(pipeline, len(labels))
    rate = keras.optimizers.schedules.PolynomialDecay(RATE, EPOCHS * len(targets) // BATCH)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", steps_per_execution=10)
    model.fit(both, np.array(targets), batch_size=BATCH, epochs=EPOCHS, verbose=0)
    model.save(path)
    path.with_suffix(".json").write_text(json.dumps(labels))


def chosen(photos: Path, folder: Path, most: int) -> list[str]:
    """Links to so many pictures of each label in `folder`; the labels."""
    for label in sorted(item for item in photos.iterdir() if item.is_dir()):
        (folder / label.name).mkdir()
        for picture in sorted(label.iterdir())[:most]:
            (folder / label.name / picture.name).symlink_to(picture.resolve())
    return sorted(item.name for item in folder.iterdir())
