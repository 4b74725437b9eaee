"""Small models, each trained through a real pipeline of its own: the calls that people train with, on a folder a label.

Every pipeline decodes and resizes with its own library; nothing of ours touches a pixel here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from local.launch import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODELS = PROJECT / "build" / "trained-pipelines"
SIDE = 96
SIZE = (SIDE, SIDE)
EPOCHS, BATCH, RATE = 12, 32, 3e-3
type Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Trained:
    """A pipeline: `read` gives a folder's pictures, as the training saw them; `fields` are what serving.json calls it.

    `rescaling` is a layer inside the model, so that no caller sees what it does.
    """

    read: Callable[[Path], tuple[Array, list[int]]]
    fields: dict[str, Any]
    rescaling: tuple[float, float] | None = None
    channels: int = 3


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


def generator(interpolation: str = "nearest", **options: Any) -> Callable[[Path], tuple[Array, list[int]]]:
    """`ImageDataGenerator(...).flow_from_directory`."""

    def read(folder: Path) -> tuple[Array, list[int]]:
        from keras.src.legacy.preprocessing.image import ImageDataGenerator

        flow = ImageDataGenerator(**options).flow_from_directory(
            folder, target_size=SIZE, batch_size=64, shuffle=False, class_mode="sparse", interpolation=interpolation
        )
        batches = [flow[index] for index in range(len(flow))]
        return np.concatenate([pictures for pictures, _ in batches]), [
            int(label) for _, labels in batches for label in labels
        ]

    return read


def each(function: Callable[[Path], Any]) -> Callable[[Path], tuple[Array, list[int]]]:
    """A function of one's own for each file."""

    def read(folder: Path) -> tuple[Array, list[int]]:
        rows = [(np.asarray(function(path), np.float32), label) for path, label in files(folder)]
        return np.stack([row for row, _ in rows]), [label for _, label in rows]

    return read


def tensorflow(after: str = "", **options: Any) -> Callable[[Path], Any]:
    """`tf.io.decode_jpeg` and `tf.image.resize`, then what MobileNet's `preprocess_input` or TensorFlow does."""

    def read(path: Path) -> Any:
        import tensorflow as tf

        picture = tf.image.resize(tf.io.decode_jpeg(path.read_bytes(), channels=3), SIZE, **options)
        if after == "tf":
            return picture / 127.5 - 1.0
        return tf.image.per_image_standardization(picture) if after == "per image" else picture

    return read


def layer(**options: Any) -> Callable[[Path], Any]:
    """`layers.Resizing` in a data set's `map`, and `x / 255`."""

    def read(path: Path) -> Any:
        import keras
        import tensorflow as tf

        picture = tf.cast(tf.io.decode_jpeg(path.read_bytes(), channels=3), tf.float32)
        return keras.layers.Resizing(*SIZE, **options)(picture[None])[0] / 255.0

    return read


def opencv(interpolation: str, *, blue_first: bool) -> Callable[[Path], Any]:
    """`cv2.imread`, `cv2.resize` and `/ 255`, in OpenCV's order of colours or turned round."""

    def read(path: Path) -> Any:
        import cv2

        picture = cv2.imread(str(path))
        assert picture is not None
        small = cv2.resize(picture, SIZE, interpolation=getattr(cv2, interpolation))
        return (small if blue_first else cv2.cvtColor(small, cv2.COLOR_BGR2RGB)).astype(np.float32) / 255

    return read


def teachable_machine(path: Path) -> Any:
    """What Teachable Machine's export shows."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        fitted = ImageOps.fit(image.convert("RGB"), SIZE, Image.Resampling.LANCZOS)
    return np.asarray(fitted, np.float32) / 127.5 - 1


def caffe(array: Array) -> Any:
    """`resnet50.preprocess_input`, as ImageDataGenerator is given it."""
    from keras.applications import resnet50

    return resnet50.preprocess_input(array)


TF = {"pixels": "tensorflow"}
KERAS = {"pixels": "keras"}
UNIT, CENTRED = (1 / 255, 0.0), (1 / 127.5, -1.0)
PIPELINES: dict[str, Trained] = {
    "dataset": Trained(dataset(), {**TF, "scale": "none"}, UNIT),
    "dataset-crop": Trained(dataset(CENTRED, crop_to_aspect_ratio=True), {**TF, "resize": "crop", "scale": "tf"}),
    "dataset-pad": Trained(dataset(pad_to_aspect_ratio=True), {**TF, "resize": "pad", "scale": "none"}, CENTRED),
    "dataset-nearest": Trained(dataset(UNIT, interpolation="nearest"), {**TF, "filter": "nearest", "scale": "unit"}),
    "dataset-gray": Trained(
        dataset(color_mode="grayscale"), {**TF, "color": "grayscale", "scale": "none"}, UNIT, channels=1
    ),
    "generator": Trained(generator(rescale=1 / 255), {**KERAS, "filter": "nearest", "scale": "unit"}),
    "generator-caffe": Trained(
        generator("bilinear", preprocessing_function=caffe), {**KERAS, "filter": "bilinear", "scale": "caffe"}
    ),
    "tf-antialias": Trained(each(tensorflow("tf", antialias=True)), {**TF, "antialias": True, "scale": "tf"}),
    "tf-bicubic": Trained(
        each(tensorflow("per image", method="bicubic")),
        {**TF, "filter": "bicubic", "scale": "none", "standardize": "per_image"},
    ),
    "layer-crop": Trained(each(layer(crop_to_aspect_ratio=True)), {**TF, "resize": "crop", "scale": "unit"}),
    "opencv-bgr": Trained(
        each(opencv("INTER_LINEAR", blue_first=True)),
        {"pixels": "opencv", "filter": "linear", "color": "bgr", "scale": "unit"},
    ),
    "opencv-area": Trained(
        each(opencv("INTER_AREA", blue_first=False)), {"pixels": "opencv", "filter": "area", "scale": "unit"}
    ),
    "teachable-machine": Trained(
        each(teachable_machine), {**KERAS, "filter": "lanczos", "resize": "crop", "scale": "tf"}
    ),
}
"""Two more of crops, and OpenCV twice, so that likes stand beside each other."""


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
        yield layers.Dropout(0.3)
        yield layers.Dense(labels, activation="softmax")

    return keras.Sequential([keras.Input((*SIZE, pipeline.channels)), *blocks()])


def trained(name: str, photos: Path) -> Path:
    """The model of a pipeline, trained once on `photos`."""
    path = MODELS / f"{name}.keras"
    if not path.exists():
        MODELS.mkdir(parents=True, exist_ok=True)
        train(name, photos, path)
    return path


def train(name: str, photos: Path, path: Path) -> None:
    """Train the pipeline's model on `photos`, a folder a label, and write it with its labels beside it."""
    import keras

    pipeline = PIPELINES[name]
    keras.utils.set_random_seed(sum(name.encode()))
    pictures, targets = pipeline.read(photos)
    labels = sorted(item.name for item in photos.iterdir() if item.is_dir())
    model, mirror = network(pipeline, len(labels)), np.random.default_rng(0)
    rate = keras.optimizers.schedules.CosineDecay(RATE, EPOCHS * len(targets) // BATCH)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", steps_per_execution=16)
    for _ in range(EPOCHS):
        shown, mirrored = pictures.copy(), mirror.random(len(pictures)) < 0.5
        shown[mirrored] = shown[mirrored][:, :, ::-1]
        model.fit(shown, np.array(targets), batch_size=BATCH, verbose=0)
    model.save(path)
    path.with_suffix(".json").write_text(json.dumps(labels))
