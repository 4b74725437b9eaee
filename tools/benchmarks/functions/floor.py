"""The floor of a cold start: numpy, Pillow, LiteRT, a model from local disk, one picture, and nothing else."""

import base64
import io
import os

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image


def classify(event: dict[str, str], context: object) -> dict[str, list[float]]:  # noqa: ARG001
    """Return the scores of the picture in the event."""
    with open(os.environ["MODEL_FILE"], "rb") as file:  # noqa: PTH123 - importing pathlib is not in the floor
        interpreter = Interpreter(model_content=file.read(), num_threads=int(os.environ["THREADS"]))
    interpreter.allocate_tensors()
    picture, scores = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    height, width = picture["shape"][1:3]
    image = Image.open(io.BytesIO(base64.b64decode(event["body"]))).convert("RGB")
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    interpreter.set_tensor(picture["index"], pixels[np.newaxis] / 127.5 - 1)
    interpreter.invoke()
    return {"scores": interpreter.get_tensor(scores["index"])[0].tolist()}
