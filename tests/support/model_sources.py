"""Models to publish: one small trained one in every form, and what is refused; and how tests publish and ask."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from classifier.bundles.bundle import Snapshot
from classifier.engines.keras_engine import open_keras
from lifecycle.command import main
from lifecycle.place import Place

LABELS = ("hat", "shoe", "t-shirt")


def write_sources(folder: Path) -> Path:
    """One trained model in every form that Keras 3 writes, one as Keras 2 wrote it, and things that are refused."""
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="picture"),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, activation="softmax", name="scores"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    random = np.random.default_rng(1)
    model.fit(random.random((16, 8, 8, 3)) * 255, random.integers(0, 3, 16), verbose=0)
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    (folder / "model.json").write_text(model.to_json())
    model.save_weights(folder / "model.weights.h5")
    (folder / "alone").mkdir()
    model.save_weights(folder / "alone" / "x.weights.h5")
    (folder / "bundle").mkdir()
    (folder / "bundle" / "architecture.json").write_text(model.to_json())
    model.save_weights(folder / "bundle" / "model.weights.h5")
    (folder / "bundle" / "labels.txt").write_text("\n".join(LABELS))
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n")
    (folder / "two.txt").write_text("\n".join(LABELS[:2]))
    (folder / "labels.json").write_text(json.dumps({name: index for index, name in enumerate(LABELS)}))
    _write_as_keras_2(folder)
    model.export(folder / "saved", verbose=False)
    _write_graph_def(folder)
    (folder / "samples").mkdir()
    write_picture(folder / "samples" / "one.png", (200, 30, 30))
    np.save(folder / "expected.npy", np.asarray(model(np.full((1, 8, 8, 3), 128.0))))
    lambdas = keras.Sequential([keras.Input((8, 8, 3)), layers.Lambda(lambda x: x), layers.Flatten(), layers.Dense(3)])
    lambdas.save(folder / "lambda.keras")
    return folder


def _write_as_keras_2(folder: Path) -> None:
    """The HDF5 file with the configuration that Keras 2.2.4 wrote for the same layers."""
    import h5py

    data = (folder / "model.h5").read_bytes()
    (folder / "old.h5").write_bytes(data)
    convolution = {"name": "conv", "filters": 4, "kernel_size": [3, 3], "activation": "relu"}
    layers: list[dict[str, Any]] = [
        {"class_name": "Conv2D", "config": convolution | {"batch_input_shape": [None, 8, 8, 3], "dtype": "float32"}},
        {
            "class_name": "BatchNormalization",
            "config": {"name": "norm", "axis": -1, "momentum": 0.99, "epsilon": 0.001},
        },
        {"class_name": "GlobalAveragePooling2D", "config": {"name": "pool", "data_format": "channels_last"}},
        {"class_name": "Dense", "config": {"name": "scores", "units": 3, "activation": "softmax"}},
    ]
    with h5py.File(folder / "old.h5", "r+") as file:
        config = {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": layers}}
        file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"] = b"2.2.4"


def _write_graph_def(folder: Path) -> None:
    """A frozen graph as TensorFlow 1 examples ship them: no Keras, tensors known by name only."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        given = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3), name="Mul")
        kernel = tf.constant(np.random.default_rng(2).normal(0, 0.01, (3, 3)).astype(np.float32))
        tf.nn.softmax(tf.matmul(tf.reduce_mean(given, (1, 2)), kernel), name="final_result")
        (folder / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())


def write_picture(path: Path, color: tuple[int, int, int]) -> None:
    """A picture of one color."""
    buffer = io.BytesIO()
    Image.new("RGB", (20, 16), color).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def publish(capsys: Any, *arguments: str | Path) -> dict[str, Any]:
    """Publish and return what --json says."""
    capsys.readouterr()
    assert main(["publish", *map(str, arguments), "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def answer(place: Place, pixel: float) -> np.ndarray:
    """What TensorFlow says for a picture of one color, from what S3 holds."""
    store = place.store()
    newest = store.bundles.look(time.monotonic() + 30).newest
    assert isinstance(newest, Snapshot)
    loaded = open_keras(store.bundles.read(newest, time.monotonic() + 30))
    return np.asarray(loaded.engine.predict(np.full((1, 8, 8, 3), pixel, np.float32)))
