"""The usual handler on the stock plugin's layout: unzip, import Keras, rebuild the model, predict. Times its phases."""

import time

began = time.perf_counter()
import unzip_requirements  # type: ignore[import-not-found]  # noqa: E402, F401 - the plugin's helper, lies beside it

unzipped = time.perf_counter()

import base64  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
from pathlib import Path  # noqa: E402

import keras  # noqa: E402

imported = time.perf_counter()

BUNDLE = Path(os.environ["BUNDLE"])
SCALE = json.loads((BUNDLE / "serving.json").read_text())["preprocessing"]["scale"]
model: keras.Model | None = None


def load() -> keras.Model:
    """Build the model and load its weights, from local disk."""
    built = keras.models.model_from_json((BUNDLE / "architecture.json").read_text())
    built.load_weights(BUNDLE / "model.weights.h5")
    return built


def classify(event: dict[str, str], context: object) -> dict[str, object]:  # noqa: ARG001
    """Return the scores of the picture in the event, and milliseconds by phase."""
    global model
    started = time.perf_counter()
    if model is None:
        model = load()
    loaded = time.perf_counter()
    size = model.input_shape[1:3]
    image = keras.utils.load_img(io.BytesIO(base64.b64decode(event["body"])), target_size=size)
    array = keras.applications.imagenet_utils.preprocess_input(keras.utils.img_to_array(image)[None], mode=SCALE)
    scores = model.predict(array, verbose=0)[0]
    phases = {"unpack": unzipped - began, "import": imported - unzipped, "build": loaded - started}
    phases["first"] = time.perf_counter() - loaded
    return {"scores": scores.tolist(), "timings_ms": {name: took * 1000 for name, took in phases.items()}}
