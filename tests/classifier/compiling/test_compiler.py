"""Compiling a real model: which forms there are, what is measured, and which events ask for it.

engines/test_model_kinds.py compiles models of every kind; test_compile_job.py stops, doubles and denies the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from classifier.bundles.compiled import LARGEST_DIFFERENCE, MODEL, REPORT, Report, key_of, parse_report
from classifier.bundles.store import ModelStore
from classifier.compiling import compiler
from classifier.compiling.compile_job import CompileJob, CompileJobs
from tests.conftest import Bucket
from tests.support.model_kinds import PICTURE, PREFIX, drawn, put
from tests.support.pictures import encoded, photo

pytestmark = pytest.mark.tensorflow


def soon(seconds: float = 120) -> float:
    return time.monotonic() + seconds


def plain() -> Any:
    """Quick to compile, and with enough weights to be worth quantizing."""
    import keras
    from keras import layers

    row = [layers.Flatten(), layers.Dense(3, activation="softmax")]
    return drawn(keras.Sequential([keras.Input(PICTURE), layers.Rescaling(1 / 255), *row]))


def store_of(bucket: Bucket) -> ModelStore:
    return ModelStore.at(bucket.s3, bucket.name, PREFIX, settle_s=0, max_bytes=10**8)


def report_of(bucket: Bucket, version: str) -> Report:
    answer = bucket.boto.get_object(Bucket=bucket.name, Key=key_of(PREFIX, version, REPORT))
    return parse_report(answer["Body"].read())


def keys(bucket: Bucket, prefix: str = PREFIX) -> set[str]:
    listed = bucket.boto.list_objects_v2(Bucket=bucket.name, Prefix=prefix + "compiled/").get("Contents", [])
    return {item["Key"] for item in listed}


def test_smaller_forms_are_made_and_measured_when_asked_for_and_never_served(bucket: Bucket) -> None:
    put(bucket, plain())
    store = store_of(bucket)
    done = CompileJob(store, ("float16", "int8")).run(soon())
    report = report_of(bucket, done["version"])
    names = {key.rpartition("/")[2] for key in keys(bucket)}
    assert names == {MODEL, "model.float16.tflite", "model.int8.tflite", REPORT}
    full, half, quarter = (report.measured[form] for form in ("float32", "float16", "int8"))
    assert full["bytes"] > half["bytes"] > quarter["bytes"] > 0
    assert full["largest_difference"] <= LARGEST_DIFFERENCE < quarter["largest_difference"] < 0.1
    assert (done["usable"], full["reason"]) == (True, "")
    assert "scores differ from Keras" in quarter["reason"]
    assert (report.model_bytes, len(store.compiled.compiled_model(report, soon()))) == (full["bytes"],) * 2


def test_a_form_that_differs_from_keras_is_refused_and_not_stored(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "LARGEST_DIFFERENCE", -1.0)
    put(bucket, plain())
    done = CompileJob(store_of(bucket)).run(soon())
    assert done["usable"] is False
    assert "scores differ from Keras by" in done["reason"]
    assert keys(bucket) == {key_of(PREFIX, done["version"], REPORT)}


def test_the_bundles_own_probe_pictures_are_asked_too_and_those_that_are_none_left_out(bucket: Bucket) -> None:
    put(bucket, plain())
    bucket.put(PREFIX + "probes/photo.png", encoded(photo(), "PNG"))
    bucket.put(PREFIX + "probes/cut.jpg", encoded(photo(), "JPEG")[:300])
    bucket.put(PREFIX + "probes/notes.txt", b"what these pictures show")
    done = CompileJob(store_of(bucket)).run(soon())
    assert report_of(bucket, done["version"]).measured["probes"] == 9


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
