"""Large models at the sizes that docs/operate/memory.md names, in strict sandboxes. Half an hour: FULL=1 runs it."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from classifier.engines.probes import generated
from classifier.pictures.preprocessing import Preprocessing
from local.launch import PROJECT
from tests.support.demo import SAMPLES, demo

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from local.s3 import LocalS3

pytestmark = [
    pytest.mark.lambda_,
    pytest.mark.tensorflow,
    pytest.mark.skipif(not os.environ.get("FULL"), reason="half an hour and 10 GB of disk: FULL=1"),
]
NUMBERS = r"[\d,]+ \([\d,]+\)"
ROW = re.compile(rf"^\| ([\w ]+) \| \d+ \| {NUMBERS} \| ([\d,]+) \| {NUMBERS} \| ([\d,]+)", re.MULTILINE)
SIZES = {
    name.split()[0]: (int(memory.replace(",", "")), int(compiling.replace(",", "")))
    for name, memory, compiling in ROW.findall((PROJECT / "docs" / "operate" / "memory.md").read_text())
}
EVENT = {"image": base64.b64encode(SAMPLES[0].read_bytes()).decode()}


def built(name: str) -> tuple[Any, NDArray[np.float32]]:
    """The model with random weights, and the picture as it takes it.

    Normalizations are adapted to the picture and the probes, and weakened, as in a trained model: else a deep model's
    answer to a probe changes from 0 to 1 with its last bit, in Keras as well.
    """
    import keras

    model = getattr(keras.applications, name)(weights=None)
    side = model.input_shape[1]
    opened = Image.open(io.BytesIO(SAMPLES[0].read_bytes())).convert("RGB")
    picture = np.asarray(opened.resize((side, side), Image.Resampling.NEAREST), np.float32)
    pictures = np.concatenate([picture[None], *generated(Preprocessing(size=(side, side)))])
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
            layer.gamma.assign(0.3 * layer.gamma)
    model(pictures, training=True)
    return model, picture


@pytest.mark.parametrize("name", ["VGG16", "ResNet152", "EfficientNetV2L", "ConvNeXtLarge"])
def test_a_large_model_goes_all_the_way_at_the_documented_sizes(name: str, s3_server: LocalS3, tmp_path: Path) -> None:
    import keras

    keras.utils.set_random_seed(1)
    model, picture = built(name)
    expected = np.asarray(model(picture[None]))[0]
    model.save_weights(tmp_path / "model.weights.h5")
    (tmp_path / "architecture.json").write_text(model.to_json())
    serving = {"preprocessing": {"filter": "nearest"}, "output": "softmax"}
    (tmp_path / "serving.json").write_text(json.dumps(serving))
    del model
    keras.backend.clear_session()
    memory_mb, compile_mb = SIZES[name]

    with demo(s3_server, f"small-{name.lower()}", memory_mb={"compile": compile_mb * 3 // 4}) as running:
        before = running.cloud.invoke(EVENT)["model"]  # type: ignore[index]
        running.put_bundle(tmp_path)
        refused: Any = running.cloud.invoke({}, function="keras-classifier-dev-compile")
        assert not refused["usable"]
        assert "raise the parameter `compileMemory`" in refused["reason"]
        assert running.cloud.invoke(EVENT)["model"]["name"] == before["name"]  # type: ignore[index]
        assert {report.status for report in running.cloud.reports} == {"success"}

    sizes = {"classify": memory_mb, "compile": compile_mb}
    with demo(s3_server, f"large-{name.lower()}", memory_mb=sizes, MODEL_CHECK_SECONDS="0") as running:
        running.put_bundle(tmp_path)
        compiled: Any = running.cloud.invoke({}, function="keras-classifier-dev-compile")
        assert compiled["usable"], compiled
        print(name, [(report.function, report.max_memory_mb) for report in running.cloud.reports])
        check(running.cloud.invoke(EVENT), expected)
        place = f"s3://{running.models}/{running.prefix}"
        environment = os.environ | {
            "AWS_ENDPOINT_URL_S3": s3_server.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }
        command = ["scripts/models", "publish", str(tmp_path), "--to", place, "--scores", "softmax", "--top-k", "3"]
        done = subprocess.run(
            [*command, "--filter", "nearest"], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        running.cloud.stop_sandboxes()
        check(running.cloud.invoke(EVENT), expected)
        assert {report.status for report in running.cloud.reports} == {"success"}


def check(reply: Any, expected: NDArray[np.float32]) -> None:
    """The compiled form answered as plain Keras does."""
    assert reply["model"]["engine"] == "litert", reply
    for each in reply["predictions"]:
        assert each["score"] == pytest.approx(float(expected[int(each["label"])]), rel=1e-3, abs=1e-6)
    assert reply["predictions"][0]["score"] == pytest.approx(float(expected.max()), rel=1e-3)
