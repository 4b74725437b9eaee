"""Compiling a real model: which forms there are, and what is measured.

engines/test_model_kinds.py compiles models of every kind; test_compile_job.py stops, doubles and denies the work.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from classifier.bundles.compiled import LARGEST_DIFFERENCE, MODEL, REPORT, Report, key_of, parse_report
from classifier.bundles.store import ModelStore
from classifier.compiling import compiler
from classifier.compiling.compile_job import CompileJob
from tests.conftest import Bucket
from tests.support.model_kinds import PICTURE, PREFIX, drawn, put
from tests.support.pictures import encoded, photo

pytestmark = pytest.mark.tensorflow


def soon() -> float:
    return time.monotonic() + 120


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


def keys(bucket: Bucket) -> set[str]:
    listed = bucket.boto.list_objects_v2(Bucket=bucket.name, Prefix=PREFIX + "compiled/").get("Contents", [])
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
