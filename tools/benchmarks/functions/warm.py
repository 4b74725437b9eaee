"""One warm process of the `warm` benchmark: answers pictures in one of three ways, and says how long each took.

Started with a way and a picture; reads a count a line and writes that many [wall, CPU] nanoseconds, as JSON.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def ours(picture: bytes) -> Callable[[], Any]:
    """The function's entry point, given the event that an HTTP API makes of an upload."""
    import handler
    from tools.benchmarks.sandboxes import upload_event

    event = json.dumps(upload_event(picture))

    class Context:
        aws_request_id = "00000000-0000-0000-0000-000000000000"

        def get_remaining_time_in_millis(self) -> int:
            return 60_000

    context, parsed = Context(), json.loads(event)

    def call() -> Any:  # noqa: ANN401
        return handler.classify(parsed, context)

    body = json.loads(call()["body"])
    assert body["model"]["engine"] == "litert", body
    return call


def bare(picture: bytes) -> Callable[[], Any]:
    """Pillow's decoding and resizing and `interpreter.invoke()`, nothing between and nothing after."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from PIL import Image

    interpreter = Interpreter(model_path=os.environ["MODEL_FILE"], num_threads=int(os.environ["THREADS"]))
    interpreter.allocate_tensors()
    expected = interpreter.get_input_details()[0]
    height, width = expected["shape"][1:3]
    interpreter.set_tensor(expected["index"], np.zeros(expected["shape"], np.float32))

    def call() -> Any:  # noqa: ANN401
        image = Image.open(io.BytesIO(picture)).convert("RGB")
        pixels = image.resize((width, height), Image.Resampling.BILINEAR)
        interpreter.invoke()
        return pixels

    return call


def usual(picture: bytes) -> Callable[[], Any]:
    """What people write: `load_img`, `preprocess_input`, `model.predict`."""
    from pathlib import Path

    import keras

    bundle = Path(os.environ["BUNDLE"])
    mode = json.loads((bundle / "serving.json").read_text())["preprocessing"]["scale"]
    model = keras.models.model_from_json((bundle / "architecture.json").read_text())
    model.load_weights(bundle / "model.weights.h5")
    size = model.input_shape[1:3]

    def call() -> Any:  # noqa: ANN401
        image = keras.utils.load_img(io.BytesIO(picture), target_size=size, interpolation="bilinear")
        array = keras.applications.imagenet_utils.preprocess_input(keras.utils.img_to_array(image)[None], mode=mode)
        return model.predict(array, verbose=0)

    return call


def main(argv: list[str]) -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the log goes where it costs a system call, as in Lambda
    with open(argv[1], "rb") as file:  # noqa: PTH123
        call = {"ours": ours, "bare": bare, "usual": usual}[argv[0]](file.read())
    for _ in range(3):
        call()
    answers.write("ready\n")
    for line in sys.stdin:
        durations = []
        for _ in range(int(line)):
            began, began_cpu = time.perf_counter_ns(), time.process_time_ns()
            call()
            durations.append((time.perf_counter_ns() - began, time.process_time_ns() - began_cpu))
        answers.write(json.dumps(durations) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
