"""A model that resizes by itself: both engines answer as Keras does with the whole picture, whatever its size."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier.compiling.compiler import compile_bundle
from classifier.engines.keras_engine import open_keras
from classifier.engines.litert_engine import open_litert
from classifier.errors import ModelError
from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from lifecycle.release import as_bundle
from tests.support.pixel_pictures import pixel_pictures

pytestmark = pytest.mark.tensorflow

PICTURES = ("JPEG 4:2:0 (333, 217)", "PNG", "PNG that grows", "gray JPEG")
LIMITS = ImageLimits()


PADS: dict[str, Any] = {"pad_to_aspect_ratio": True}


def files_of(
    tmp_path: Any, resizing: dict[str, Any] = PADS, dtype: str = "float32", **serving: Any
) -> tuple[dict[str, bytes], Any]:
    """A bundle whose model takes pictures of any size, and the model."""
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((None, None, 3), dtype=dtype),
            layers.Resizing(32, 24, **resizing),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.save_weights(tmp_path / "model.weights.h5")
    weights = (tmp_path / "model.weights.h5").read_bytes()
    document = json.dumps(serving).encode()
    return {"architecture.json": model.to_json().encode(), "model.weights.h5": weights, "serving.json": document}, model


def test_both_engines_answer_as_keras_with_the_whole_picture(tmp_path: Any) -> None:
    import tensorflow as tf

    for fields, read in (
        ({}, lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32)),
        ({"pixels": "tensorflow"}, lambda data: tf.cast(tf.io.decode_image(data, channels=3), tf.float32).numpy()),
    ):
        files, model = files_of(tmp_path, labels=["a", "b", "c"], preprocessing=fields)
        bundle = as_bundle(files)
        report, forms = compile_bundle(bundle, [], [])
        assert report.usable, report.reason
        for loaded in (open_keras(bundle), open_litert(next(iter(forms.values())), report)):
            spec = loaded.serving.preprocessing
            assert (spec.size, spec.own) == ((32, 24), True)
            assert "size" not in spec.to_json()
            for name in PICTURES:
                data = pixel_pictures()[name]
                array = spec.to_array(decode(inspect(data, LIMITS), spec, LIMITS).pixels)
                wanted = np.asarray(model(read(data)[None], training=False))[0]
                assert np.abs(np.asarray(loaded.engine.predict(array)) - wanted).max() < 1e-5, (name, fields)


@pytest.mark.parametrize(
    ("resizing", "dtype"),
    [({"interpolation": "lanczos3", "antialias": True, "crop_to_aspect_ratio": True}, "float32"), ({}, "uint8")],
)
def test_filters_that_litert_lacks_and_whole_numbers_are_keras_too(
    resizing: dict[str, Any], dtype: str, tmp_path: Any
) -> None:
    import tensorflow as tf

    files, model = files_of(tmp_path, resizing, dtype, preprocessing={"pixels": "tensorflow"})
    bundle = as_bundle(files)
    report, forms = compile_bundle(bundle, [], [])
    assert report.usable, report.reason
    for loaded in (open_keras(bundle), open_litert(next(iter(forms.values())), report)):
        spec = loaded.serving.preprocessing
        for name in PICTURES:
            data = pixel_pictures()[name]
            array = spec.to_array(decode(inspect(data, LIMITS), spec, LIMITS).pixels)
            whole = tf.cast(tf.io.decode_image(data, channels=3), dtype)
            wanted = np.asarray(model(whole[None], training=False))[0]
            assert np.abs(np.asarray(loaded.engine.predict(array)) - wanted).max() < 1e-5, name


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"standardize": "per_image"}, "standardize"), ({"scale": "tf"}, "scale"), ({"mean": 3}, "scale")],
)
def test_what_would_be_done_to_the_whole_picture_first_is_refused(
    fields: dict[str, Any], field: str, tmp_path: Any
) -> None:
    files, _ = files_of(tmp_path, preprocessing={"pixels": "tensorflow", **fields})
    with pytest.raises(ModelError, match=f"preprocessing.{field}: expected with size only, as the model resizes"):
        open_keras(as_bundle(files))


def test_a_size_in_serving_json_is_what_the_model_gets(tmp_path: Any) -> None:
    files, _ = files_of(tmp_path, preprocessing={"size": [50, 60]})
    spec = open_keras(as_bundle(files)).serving.preprocessing
    assert (spec.shape, spec.own) == ((1, 50, 60, 3), False)
