"""Where the tests of loading Keras models take their files from, and what they compare of the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local.launch import PROJECT

FIXTURES = PROJECT / "tests" / "data" / "keras_fixtures"
FOLDERS = sorted(str(path.parent.relative_to(FIXTURES)) for path in FIXTURES.glob("*/*/architecture.json"))


def document(folder: str) -> dict[str, Any]:
    """The architecture JSON of a fixture, to be changed by a test."""
    found: dict[str, Any] = json.loads((FIXTURES / folder / "architecture.json").read_text())
    return found


def dense(name: str, **options: Any) -> dict[str, Any]:
    """A Dense layer as Keras 3 writes it, as short as it is still read."""
    return {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": name, "trainable": True, "dtype": "float32", "units": 2, "activation": "linear", **options},
        "registered_name": None,
    }


def layer(class_name: str, name: str = "bad", module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    """A layer of any class as Keras 3 writes it."""
    return {"module": module, "class_name": class_name, "config": {"name": name, **config}, "registered_name": None}


def sequential(*layers: dict[str, Any], shape: tuple[int | None, ...] = (4,), **top: Any) -> bytes:
    """A Sequential model as Keras 3 writes it."""
    first = layer("InputLayer", "in", batch_shape=[None, *shape], dtype="float32")
    config = {"name": "model", "trainable": True, "layers": [first, *layers]}
    return json.dumps(
        {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None, **top}
    ).encode()


def keras_2(*layers: dict[str, Any], version: str = "2.3.1") -> bytes:
    """A Sequential model as Keras 2 writes it; the first layer needs its batch_input_shape."""
    config = {"name": "model", "layers": list(layers)}
    return json.dumps(
        {"class_name": "Sequential", "config": config, "keras_version": version, "backend": "tensorflow"}
    ).encode()


def difference(model: Any, folder: Path) -> float:
    """The largest difference between the model's answer and its writer's."""
    import numpy as np

    answer = np.asarray(model(np.load(folder / "inputs.npy"), training=False))
    written = np.load(folder / "outputs.npy")
    assert answer.shape == written.shape
    return float(np.abs(answer - written).max())


def saved(model: Any, tmp_path: Path, name: str = "m.weights.h5") -> bytes:
    """The model's weights as current Keras saves them."""
    path = tmp_path / name
    model.save_weights(path) if "weights" in name else model.save(path)
    return path.read_bytes()
