"""Run inside a built package, by an interpreter that sees only it and the standard library. Prints one line of JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

CONVERTED_AGREE = 1e-4


def main(root: Path) -> None:
    """Import the fast path, unpack, rebuild a model from JSON and weights, trace, predict, convert, run all forms."""
    sys.path.insert(0, str(root))
    import handler  # noqa: F401  (it makes the dependencies importable)
    from classifier import bootstrap

    fast = _seconds(_import_fast_path)
    if "tensorflow" in sys.modules:
        raise SystemExit("the fast path imported TensorFlow")
    unpack_ms = bootstrap.ensure_tensorflow()
    imported = _seconds(_import_tensorflow)
    difference = _run_model(Path(os.environ["TMPDIR"]))
    _refuse_strangers(root, Path(os.environ["TMPDIR"]))
    print(json.dumps({"fast_import_s": fast, "unpack_ms": unpack_ms, "import_s": imported, "difference": difference}))


def _seconds(act: Any) -> float:  # noqa: ANN401
    started = time.perf_counter()
    act()
    return round(time.perf_counter() - started, 3)


def _import_fast_path() -> None:
    import ai_edge_litert.interpreter
    import multipart
    import numpy as np
    import PIL.Image
    import urllib3  # noqa: F401

    PIL.Image.init()
    np.ones((8, 8), np.float32) @ np.ones((8, 8), np.float32)
    ai_edge_litert.interpreter.Interpreter  # noqa: B018
    multipart.MultipartParser  # noqa: B018


def _import_tensorflow() -> None:
    import keras  # noqa: F401
    import tensorflow  # noqa: F401


def _run_model(scratch: Path) -> float:
    """The largest difference between the rebuilt model, traced, and its converted form in LiteRT."""
    import keras
    import numpy as np
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    model = keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )
    model.save_weights(scratch / "model.weights.h5")
    rebuilt = keras.models.model_from_json(model.to_json())
    rebuilt.load_weights(scratch / "model.weights.h5")
    picture = np.linspace(0, 1, 24 * 24 * 3, dtype=np.float32).reshape(1, 24, 24, 3)
    signature = [tf.TensorSpec(picture.shape, tf.float32)]
    traced = tf.function(lambda x: rebuilt(x, training=False), input_signature=signature, autograph=False)
    expected = traced(picture).numpy()
    rebuilt.predict(picture, verbose=0)
    converter = tf.lite.TFLiteConverter.from_keras_model(rebuilt)
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture)
    interpreter.invoke()
    actual = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    difference = float(np.abs(expected - actual).max())
    if not difference < CONVERTED_AGREE:
        raise SystemExit(f"the converted model differs from Keras by {difference}")
    return difference


def _refuse_strangers(*homes: Path) -> None:
    """Every module must come from the package, from what it unpacked, or from the standard library."""
    allowed = tuple(str(home) for home in (*homes, Path(os.__file__).parent))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and file != __file__ and not str(file).startswith(allowed):
            raise SystemExit(f"{name} comes from {file}, which is not in the package")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
