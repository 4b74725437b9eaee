"""Swapping models by hand under load, and broken swaps: no failed request, no mixture, the old model beats none."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urllib3

from local.s3 import LocalS3
from tests.support.demo import SAMPLES, Demo, demo

pytestmark = [pytest.mark.lambda_, pytest.mark.tensorflow]
PICTURE = SAMPLES[0].read_bytes()
HTTP = urllib3.PoolManager(timeout=60, retries=False, maxsize=8)
CLIENTS = 4
SWAPS = 20
SETTLE_S = 3
LONGEST_PAUSE_S = 1.5


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two small models of one shape, whose architectures, weights and labels are all told apart by their scores."""
    return tuple(_write_bundle(tmp_path_factory.mktemp(name), name) for name in ("alpha", "beta"))  # type: ignore[return-value]


def _write_bundle(folder: Path, name: str) -> Path:
    """A model whose score is fixed by its weights (bias) and its architecture (activation), whatever the picture."""
    import keras

    first = name == "alpha"
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax" if first else "sigmoid"),
        ]
    )
    kernel, bias = np.zeros((3, 2), np.float32), np.array([2.0, 0.0] if first else [0.0, 3.0], np.float32)
    model.layers[-1].set_weights([kernel, bias])
    (folder / "architecture.json").write_text(model.to_json())
    model.save_weights(folder / "model.weights.h5")
    (folder / "labels.txt").write_text(f"{name} one\n{name} two\n")
    return folder


def softmax(values: list[float]) -> list[float]:
    exponentials = np.exp(values)
    return list(map(float, exponentials / exponentials.sum()))


EXPECTED = {
    "alpha": dict(zip(["alpha one", "alpha two"], softmax([2.0, 0.0]), strict=True)),
    "beta": dict(zip(["beta one", "beta two"], [0.5, 1 / (1 + float(np.exp(-3)))], strict=True)),
}


def ask(url: str) -> tuple[int, Any]:
    answer = HTTP.request("POST", f"{url}/classify", body=PICTURE, headers={"content-type": "image/jpeg"})
    return answer.status, answer.json()


def model_of(answer: Any) -> str:
    """Which whole model the reply is from; fails for a mixture."""
    scores = {item["label"]: item["score"] for item in answer["predictions"]}
    whole = [name for name, expected in EXPECTED.items() if scores == pytest.approx(expected, abs=1e-5)]
    assert whole, f"a mixture: {scores}"
    return whole[0]


def until(url: str, wanted: str, seconds: float = 90, *, patient: bool = False) -> None:
    """Ask until `wanted` serves; every reply on the way must be good, or be asked to wait where `patient`."""
    end = time.monotonic() + seconds
    while True:
        status, answer = ask(url)
        if status == 503 and patient:
            continue
        assert status == 200, answer
        if model_of(answer) == wanted:
            return
        assert time.monotonic() < end, f"{wanted} is not served after {seconds} s"
        time.sleep(0.2)


@pytest.fixture(params=["tensorflow", "auto"])
def served(
    request: pytest.FixtureRequest, s3_server: LocalS3, bundles: tuple[Path, Path]
) -> Iterator[tuple[Demo, tuple[Path, Path]]]:
    settings = {
        "ENGINE": request.param,
        "MODEL_CHECK_SECONDS": "1",
        "SWAP_SETTLE_SECONDS": str(SETTLE_S),
        "COMPILE_PATIENCE_SECONDS": "10",
    }
    name, compiling = f"swap-{uuid.uuid4().hex[:8]}", request.param == "auto"
    with demo(s3_server, name, bundles[0], compiling=compiling, **settings) as running:
        yield running, bundles


def test_swapping_by_hand_under_load_fails_no_request_and_mixes_nothing(
    served: tuple[Demo, tuple[Path, Path]],
) -> None:
    running, bundles = served
    _warm_up(running.cloud.url)
    answers: list[tuple[int, Any]] = []
    stop = threading.Event()

    def client() -> None:
        while not stop.is_set():
            answers.append(ask(running.cloud.url))

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    _swap(running, bundles)
    until(running.cloud.url, "beta")
    stop.set()
    for thread in threads:
        thread.join()
    if running.engine == "auto":
        _until_compiled(running.cloud.url)
    assert [answer for answer in answers if answer[0] != 200] == []
    by_version: dict[str, set[str]] = {}
    for _, answer in answers:
        by_version.setdefault(answer["model"]["version"], set()).add(model_of(answer))
    assert sorted(map(sorted, by_version.values())) == [["alpha"], ["beta"]]


def _until_compiled(url: str, seconds: float = 120) -> None:
    """The compile function was started by the swaps' own S3 events; its form serves in the end."""
    end = time.monotonic() + seconds
    while ask(url)[1]["model"]["engine"] != "litert":
        assert time.monotonic() < end, "the compiled form does not serve"
        time.sleep(0.2)


def _warm_up(url: str) -> None:
    """Have as many warm sandboxes as clients: a first request may wait for TensorFlow, which is not what is tested."""

    def until_warm() -> None:
        until(url, "alpha", seconds=120, patient=True)

    threads = [threading.Thread(target=until_warm) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _swap(running: Demo, bundles: tuple[Path, Path]) -> None:
    """Objects in any order; pauses within a swap stay under the settling time, and some swaps are given time."""
    chance = random.Random(7)
    for number in range(1, SWAPS + 1):
        folder = bundles[number % 2]
        names = ["architecture.json", "model.weights.h5", "labels.txt"]
        chance.shuffle(names)
        for name in names:
            time.sleep(chance.choice([0, 0, 0.1, 0.3, LONGEST_PAUSE_S]))
            running.s3.put_object(Bucket=running.models, Key=running.prefix + name, Body=(folder / name).read_bytes())
        if number % 5 == 0:
            until(running.cloud.url, folder.name.rstrip("0"))
    running.put_bundle(bundles[1])  # the twentieth swap left `alpha`


def broken(name: str, bundle: Path) -> tuple[str, bytes]:
    data = (bundle / name).read_bytes()
    return {
        "architecture.json": (name, data[: len(data) // 2]),
        "model.weights.h5": (name, data[: len(data) // 2]),
        "labels.txt": (name, b"only one\n"),
    }[name]


@pytest.mark.parametrize("served", ["tensorflow"], indirect=True)
def test_broken_swaps_leave_the_old_model_and_the_next_good_one_is_adopted(
    served: tuple[Demo, tuple[Path, Path]],
) -> None:
    running, bundles = served
    until(running.cloud.url, "alpha")
    for name in ("architecture.json", "model.weights.h5", "labels.txt"):
        key, data = broken(name, bundles[0])
        running.s3.put_object(Bucket=running.models, Key=running.prefix + key, Body=data)
        _asked_for(running, seconds=SETTLE_S + 3)
        if name != "labels.txt":  # without it the bundle is whole: its scores are numbered
            running.s3.delete_object(Bucket=running.models, Key=running.prefix + key)
            _asked_for(running, seconds=SETTLE_S + 2)
        running.put_bundle(bundles[0])
    running.cloud.s3.failing = lambda _: True
    _asked_for(running, seconds=3)
    running.cloud.s3.failing = None
    running.put_bundle(bundles[1])
    until(running.cloud.url, "beta")
    lines = [json.loads(line) for line in running.cloud.log if line.startswith("{")]
    reasons = {line["message"] for line in lines if line["level"] in ("warning", "error")}
    assert "the old model goes on serving" in " ".join(reasons)


def _asked_for(running: Demo, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status, answer = ask(running.cloud.url)
        assert (status, model_of(answer)) == (200, "alpha"), answer
        time.sleep(0.1)
