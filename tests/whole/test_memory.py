"""A strict sandbox is never killed by a model: what would not fit is refused, and told; the old one goes on serving."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from classifier.bundles.compiled import REPORT
from local.s3 import LocalS3
from tests.support.demo import SAMPLES, Demo, demo

pytestmark = [pytest.mark.lambda_, pytest.mark.tensorflow]
MEMORY_MB, COMPILE_MB = 160, 512
SIDE, UNITS = 64, 3000


@pytest.fixture
def small(s3_server: LocalS3) -> Iterator[Demo]:
    """The demo model, compiled, behind functions of little memory."""
    sizes = {"classify": MEMORY_MB, "compile": COMPILE_MB}
    with demo(s3_server, "memory", memory_mb=sizes, MODEL_CHECK_SECONDS="0") as running:
        assert running.compile()["usable"]
        yield running


def large_bundle() -> dict[str, bytes]:
    """A model of 147 MB of weights: one dense layer."""
    import h5py
    import keras

    model = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), keras.layers.Flatten(), keras.layers.Dense(UNITS, "softmax")]
    )
    random = np.random.default_rng(7)
    stored = io.BytesIO()
    with h5py.File(stored, "w") as file:
        kept = file.create_group("layers/dense/vars")
        kept.create_dataset("0", data=random.normal(0, 1e-3, (SIDE * SIDE * 3, UNITS)).astype(np.float32))
        kept.create_dataset("1", data=np.zeros(UNITS, np.float32))
    serving = {"preprocessing": {"scale": "unit"}}
    return {
        "architecture.json": model.to_json().encode(),
        "model.weights.h5": stored.getvalue(),
        "serving.json": json.dumps(serving).encode(),
    }


def test_a_model_that_does_not_fit_kills_nothing_and_the_old_one_goes_on_serving(small: Demo) -> None:
    event = {"image": base64.b64encode(SAMPLES[0].read_bytes()).decode()}
    before: Any = small.cloud.invoke(event)
    assert before["model"]["engine"] == "litert"
    for name, data in large_bundle().items():
        small.s3.put_object(Bucket=small.models, Key=small.prefix + name, Body=data)
    compiled: Any = small.cloud.invoke({}, function="keras-classifier-dev-compile")
    assert not compiled["usable"]
    assert compiled["reason"].endswith("the function has 512 MB: raise the parameter `compileMemory`")
    report = small.s3.get_object(Bucket=small.models, Key=f"{small.prefix}compiled/{compiled['version']}/{REPORT}")
    assert json.loads(report["Body"].read())["reason"] == compiled["reason"]
    limit = time.monotonic() + 60
    while not any("raise the parameter `memory`" in line for line in small.cloud.log):
        assert time.monotonic() < limit
        assert small.cloud.invoke(event)["model"] == before["model"]  # type: ignore[index]
    told = next(line for line in small.cloud.log if "raise the parameter `memory`" in line)
    assert "TensorFlow needs at least" in told
    assert f"the function has {MEMORY_MB} MB" in told
    small.cloud.stop_sandboxes()
    assert small.cloud.invoke(event)["model"] == before["model"]  # type: ignore[index]  # a cold one finds the older
    assert {report.status for report in small.cloud.reports} == {"success"}
