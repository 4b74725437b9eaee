"""Compiling real models: what LiteRT's form gives, what is refused, and how the job ends whatever happens meanwhile."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from classifier.compile_job import CompileJob, CompileJobs
from classifier.compiled import LARGEST_DIFFERENCE, MODEL, REPORT, Report, key_of, parse_report
from classifier.engines.keras_engine import open_keras
from classifier.engines.litert_engine import open_litert
from classifier.errors import StorageUnavailableError
from classifier.model_store import ModelStore
from tests.conftest import Bucket

pytestmark = pytest.mark.tensorflow
PREFIX = "models/dev/"
LABELS = json.dumps({"labels": ["a", "b", "c"]}).encode()


def soon(seconds: float = 120) -> float:
    return time.monotonic() + seconds


def classifier_of(*layers: Any, size: int = 16) -> Any:
    import keras

    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((size, size, 3)), *layers])
    for variable in model.weights:
        variable.assign(np.random.default_rng(5).uniform(0.05, 0.5, variable.shape))
    return model


def plain(activation: str | None = "softmax") -> Any:
    from keras import layers

    return classifier_of(
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, activation="relu"),
        layers.BatchNormalization(),
        layers.DepthwiseConv2D(3),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, activation=activation),
    )


def store_of(bucket: Bucket) -> ModelStore:
    return ModelStore.at(bucket.s3, bucket.name, PREFIX, settle_s=0, max_bytes=10**8)


def put(bucket: Bucket, model: Any, serving: bytes = LABELS, prefix: str = PREFIX) -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.weights.h5"
        model.save_weights(path)
        bucket.put(prefix + "architecture.json", model.to_json().encode())
        bucket.put(prefix + "model.weights.h5", path.read_bytes())
        bucket.put(prefix + "serving.json", serving)


def report_of(bucket: Bucket, version: str) -> Report:
    answer = bucket.boto.get_object(Bucket=bucket.name, Key=key_of(PREFIX, version, REPORT))
    return parse_report(answer["Body"].read())


def keys(bucket: Bucket, prefix: str = PREFIX) -> set[str]:
    listed = bucket.boto.list_objects_v2(Bucket=bucket.name, Prefix=prefix + "compiled/").get("Contents", [])
    return {item["Key"] for item in listed}


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_the_compiled_form_gives_kerass_scores(bucket: Bucket, activation: str | None) -> None:
    model = plain(activation)
    put(bucket, model)
    store = store_of(bucket)
    done = CompileJob(store).run(soon())
    assert (done["result"], done["usable"], done["reason"]) == ("compiled", True, "")
    report = report_of(bucket, done["version"])
    assert 0 <= report.measured["float32"]["largest_difference"] <= LARGEST_DIFFERENCE
    view = store.bundles.look(soon())
    fast = open_litert(store.compiled.compiled_model(report, soon()), report)
    reference = open_keras(store.bundles.read(view.newest, soon()))  # type: ignore[arg-type]
    picture = np.random.default_rng(1).uniform(0, 255, (1, 16, 16, 3)).astype(np.float32)
    expected = np.asarray(model(picture))[0]
    assert fast.serving == reference.serving
    np.testing.assert_allclose(reference.engine.predict(picture), expected, atol=1e-5)
    np.testing.assert_allclose(fast.engine.predict(picture), expected, atol=1e-5)


def test_smaller_forms_are_made_and_measured_when_asked_for(bucket: Bucket) -> None:
    put(bucket, plain())
    done = CompileJob(store_of(bucket), ("float16", "int8")).run(soon())
    report = report_of(bucket, done["version"])
    names = {key.rpartition("/")[2] for key in keys(bucket)}
    assert names == {MODEL, "model.float16.tflite", "model.int8.tflite", REPORT}
    assert all(report.measured[form]["bytes"] > 0 for form in ("float32", "float16", "int8"))


def test_the_bundles_own_probe_pictures_are_asked_too(bucket: Bucket) -> None:
    from PIL import Image

    put(bucket, plain())
    encoded = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(encoded, "PNG")
    bucket.put(PREFIX + "probes/teal.png", encoded.getvalue())
    done = CompileJob(store_of(bucket)).run(soon())
    assert report_of(bucket, done["version"]).measured["probes"] == 9


def test_a_model_beyond_the_built_in_operators_gets_a_report_that_says_so(bucket: Bucket) -> None:
    put(bucket, beyond_builtins())
    done = CompileJob(store_of(bucket)).run(soon())
    assert done["usable"] is False
    assert "can't express it" in done["reason"]
    assert keys(bucket) == {key_of(PREFIX, done["version"], REPORT)}


def beyond_builtins() -> Any:
    """Pooling over three dimensions has no built-in operator."""
    from keras import layers

    return classifier_of(
        layers.Reshape((16, 16, 3, 1)), layers.MaxPooling3D(2), layers.Flatten(), layers.Dense(3, activation="softmax")
    )


def test_two_inputs_are_refused_with_the_reason(bucket: Bucket) -> None:
    import keras
    from keras import layers

    pair = [keras.Input((16, 16, 3)), keras.Input((16, 16, 3))]
    flat = layers.Flatten()(layers.Add()(pair))
    put(bucket, keras.Model(pair, layers.Dense(3, activation="softmax")(flat)))
    done = CompileJob(store_of(bucket)).run(soon())
    assert done["usable"] is False
    assert "2 inputs" in done["reason"]


def test_a_second_run_finds_it_done(bucket: Bucket) -> None:
    put(bucket, plain())
    job = CompileJob(store_of(bucket))
    version = job.run(soon())["version"]
    assert job.run(soon()) == {"result": "compiled before", "version": version, "usable": True, "reason": ""}


def test_two_at_once_end_with_one_whole_form(bucket: Bucket) -> None:
    put(bucket, plain())
    results: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: results.append(CompileJob(store_of(bucket)).run(soon()))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({result["version"] for result in results}) == 1
    report = report_of(bucket, results[0]["version"])
    assert store_of(bucket).compiled.compiled_model(report, soon())


def test_a_bundle_swapped_while_it_compiles_is_compiled_next(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    from classifier import compile_job, compiler

    put(bucket, plain())
    compile_bundle = compiler.compile_bundle
    calls: list[Any] = []

    def swap_meanwhile(*arguments: Any) -> Any:
        if not calls:
            put(bucket, plain("sigmoid"))
        calls.append(arguments)
        return compile_bundle(*arguments)

    monkeypatch.setattr(compile_job, "compile_bundle", swap_meanwhile)
    done = CompileJob(store_of(bucket)).run(soon())
    assert len(calls) == 2
    view = store_of(bucket).bundles.look(soon())
    report = store_of(bucket).compiled.report_for(view.newest, view.reports, soon())  # type: ignore[arg-type]
    assert report is not None
    assert report.fingerprint == done["version"]


def test_stopped_before_the_report_nothing_counts(bucket: Bucket) -> None:
    put(bucket, plain())
    bucket.server.failing = lambda request: request.method == "PUT" and request.path.endswith(REPORT)
    with pytest.raises(StorageUnavailableError):
        CompileJob(store_of(bucket)).run(soon())
    bucket.server.failing = None
    view = store_of(bucket).bundles.look(soon())
    assert store_of(bucket).compiled.report_for(view.newest, view.reports, soon()) is None  # type: ignore[arg-type]
    assert CompileJob(store_of(bucket)).run(soon())["result"] == "compiled"


def s3_event(key: str) -> dict[str, Any]:
    return {"Records": [{"s3": {"object": {"key": key}}}]}


def event_bridge_event(key: str) -> dict[str, Any]:
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": {"object": {"key": key}}}


def jobs_of(bucket: Bucket) -> CompileJobs:
    store = store_of(bucket)
    return CompileJobs(CompileJob(store), partial(store.inside, settle_s=0, max_bytes=10**8))


@pytest.mark.parametrize("shape", [s3_event, event_bridge_event])
@pytest.mark.parametrize("model", ["", "cats"])
def test_only_a_bundles_own_objects_concern_its_job(
    bucket: Bucket, shape: Callable[[str], dict[str, Any]], model: str
) -> None:
    jobs, folder = jobs_of(bucket), f"{PREFIX}{model}/" if model else PREFIX
    for name in ("architecture.json", "model.weights.h5", "weights.h5", "serving.json", "labels.txt", "published.json"):
        assert jobs.concerned(shape(folder + name)) == [model]
    for key in ("other/architecture.json", folder + "compiled/f/report.json", folder + "notes.txt", ""):
        assert jobs.concerned(shape(key)) == []
    for key in ("versions/f/architecture.json", "compiled/serving.json", "probes/labels.txt", "no name/labels.txt"):
        assert jobs.concerned(shape(PREFIX + key)) == []


def test_a_direct_invocation_asks_for_a_look(bucket: Bucket) -> None:
    assert jobs_of(bucket).run({}, soon()) == [{"result": "no whole bundle"}]
    assert jobs_of(bucket).run({"model": "cats"}, soon()) == [{"result": "no whole bundle", "model": "cats"}]


def test_a_named_model_is_compiled_in_its_own_folder(bucket: Bucket) -> None:
    put(bucket, plain(), prefix=PREFIX + "cats/")
    (done,) = jobs_of(bucket).run(event_bridge_event(PREFIX + "cats/model.weights.h5"), soon())
    assert (done["result"], done["usable"], done["model"]) == ("compiled", True, "cats")
    assert keys(bucket, PREFIX + "cats/") == {
        key_of(PREFIX + "cats/", done["version"], name) for name in (MODEL, REPORT)
    }
    assert keys(bucket) == set()
