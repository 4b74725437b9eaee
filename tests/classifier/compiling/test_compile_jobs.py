"""Which models an event asks to compile; compiling itself is a stand-in, as in test_compile_job.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from classifier.bundles.compiled import MODEL, REPORT, key_of
from classifier.compiling.compile_job import CompileJob
from classifier.compiling.compile_jobs import CompileJobs
from tests.conftest import Bucket
from tests.support.compile_jobs import MOST_BYTES, PREFIX, World, soon
from tests.support.compile_jobs import compiling as compiling


def s3_event(key: str) -> dict[str, Any]:
    return {"Records": [{"s3": {"object": {"key": key}}}]}


def event_bridge_event(key: str) -> dict[str, Any]:
    return {"source": "aws.s3", "detail-type": "Object Created", "detail": {"object": {"key": key}}}


@pytest.fixture
def jobs(bucket: Bucket) -> CompileJobs:
    store = World(bucket).store()
    return CompileJobs(CompileJob(store), partial(store.inside, settle_s=0, max_bytes=MOST_BYTES))


@pytest.mark.parametrize("shape", [s3_event, event_bridge_event])
@pytest.mark.parametrize("model", ["", "cats"])
def test_only_a_bundles_own_objects_concern_its_job(
    jobs: CompileJobs, shape: Callable[[str], dict[str, Any]], model: str
) -> None:
    folder = f"{PREFIX}{model}/" if model else PREFIX
    for name in ("architecture.json", "model.weights.h5", "weights.h5", "serving.json", "labels.txt", "published.json"):
        assert jobs.concerned(shape(folder + name)) == [model]
    for key in ("other/architecture.json", folder + "compiled/f/report.json", folder + "notes.txt", ""):
        assert jobs.concerned(shape(key)) == []
    for key in ("versions/f/architecture.json", "compiled/serving.json", "probes/labels.txt", "no name/labels.txt"):
        assert jobs.concerned(shape(PREFIX + key)) == []


def test_a_direct_invocation_asks_for_a_look(jobs: CompileJobs) -> None:
    assert jobs.run({}, soon()) == [{"result": "no whole bundle"}]
    assert jobs.run({"model": "cats"}, soon()) == [{"result": "no whole bundle", "model": "cats"}]


def test_a_named_model_is_compiled_in_its_own_folder(bucket: Bucket, jobs: CompileJobs) -> None:
    named = World(bucket, PREFIX + "cats/")
    named.swap("one")
    (done,) = jobs.run(event_bridge_event(named.prefix + "model.weights.h5"), soon())
    assert (done["result"], done["usable"], done["model"]) == ("compiled", True, "cats")
    listed = bucket.boto.list_objects_v2(Bucket=bucket.name)["Contents"]
    assert {item["Key"] for item in listed if "compiled/" in item["Key"]} == {
        key_of(named.prefix, done["version"], name) for name in (MODEL, REPORT)
    }
