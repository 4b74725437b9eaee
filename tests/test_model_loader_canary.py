"""A second model beside the warm one: begun, raised, promoted, aborted, refused; never at the first one's cost."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from typing import Any

import pytest

from classifier.errors import ModelTooLargeError
from model_loader import ModelLoader
from tests.conftest import Bucket
from tests.support.warm_models import PREFIX, CountingEngine, loader, publish, settle, soon, weights


def objects(bucket: Bucket, version: str) -> dict[str, Any]:
    """The canary's objects, where `publish` puts them: under keys that nothing serves by itself."""
    found = {}
    for name, data in {
        "architecture.json": f"architecture {version}".encode(),
        "model.weights.h5": f"{'' if version == 'broken' else 'weights '}{version}".encode(),
        "labels.txt": b"cat\ndog\n",
    }.items():
        key = f"{PREFIX}versions/{version}/{name}"
        put = bucket.put(key, data)
        digest = hashlib.sha256(data).hexdigest()
        found[name] = {
            "key": key,
            "version_id": put["VersionId"],
            "etag": put["ETag"],
            "size": len(data),
            "sha256": digest,
        }
    return found


def write(bucket: Bucket, **changes: Any) -> None:
    """Write published.json again with some fields changed, and what lies at the root named as replaced."""
    key = PREFIX + "published.json"
    document = json.loads(bucket.boto.get_object(Bucket=bucket.name, Key=key)["Body"].read())
    listed = bucket.boto.list_objects_v2(Bucket=bucket.name, Prefix=PREFIX, Delimiter="/")["Contents"]
    replaced = {item["Key"].removeprefix(PREFIX): item["ETag"].strip('"') for item in listed}
    bucket.put(key, json.dumps({**document, "replaced": replaced, **changes}).encode())


def begin(bucket: Bucket, version: str = "two", percent: int = 10, **more: Any) -> dict[str, Any]:
    canary = {"version": version, "percent": percent, "since": int(time.time()), "objects": objects(bucket, version)}
    write(bucket, canary={**canary, **more})
    return {**canary, **more}


def canary_of(models: ModelLoader) -> str:
    """Look, and say whose model the canary is once all is loaded that will be."""
    models.acquire(soon())
    assert models._job is not None
    assert models._job.over.wait(10)
    found = models.acquire_canary(soon())
    return "none" if found is None else weights(found)


def test_a_canary_is_loaded_beside_the_stable_model_and_ends_with_one_write(bucket: Bucket) -> None:
    publish(bucket, "one")
    engine = CountingEngine()
    models = loader(bucket, engine)
    begun = begin(bucket)
    assert (weights(models.acquire(soon())), canary_of(models)) == ("one", "two")
    assert models.canary is not None
    two = models.canary.model
    write(bucket, canary={**begun, "percent": 50})
    assert canary_of(models) == "two"
    assert (models.canary.plan.percent, models.canary.model) == (50, two)
    assert len(engine.opened) == 2
    write(bucket, canary=None)
    assert (canary_of(models), weights(models.acquire(soon()))) == ("none", "one")
    assert len(engine.opened) == 2


def test_a_promoted_canary_serves_without_being_loaded_again(bucket: Bucket) -> None:
    publish(bucket, "one")
    engine = CountingEngine()
    models = loader(bucket, engine)
    begun = begin(bucket)
    assert canary_of(models) == "two"
    assert models.canary is not None
    assert models.canary.model is not None
    number = models.canary.model.updated
    write(bucket, canary=None, objects=begun["objects"], live_since=begun["since"])
    serving = models.acquire(soon())
    assert (weights(serving), serving.updated, canary_of(models)) == ("two", number, "none")
    assert len(engine.opened) == 2


def test_a_promotion_that_nobody_saw_before_a_broken_swap_is_adopted_without_loading_it_again(bucket: Bucket) -> None:
    publish(bucket, "one")
    engine = CountingEngine()
    models = loader(bucket, engine)
    begun = begin(bucket)
    assert canary_of(models) == "two"
    time.sleep(1.1)
    write(bucket, canary=None, objects=begun["objects"], live_since=begun["since"])
    time.sleep(1.1)
    bucket.put(PREFIX + "model.weights.h5", b"broken")
    settle()
    assert [weights(models.acquire(soon())) for _ in range(2)] == ["two"] * 2
    assert models.refusal is not None
    assert len(engine.opened) == 3  # one, two, and what is broken


def test_the_stable_model_can_be_exchanged_while_a_canary_runs(bucket: Bucket) -> None:
    publish(bucket, "one")
    models = loader(bucket, CountingEngine())
    begun = begin(bucket)
    assert canary_of(models) == "two"
    publish(bucket, "three")
    write(bucket, canary=begun)
    assert (canary_of(models), weights(models.acquire(soon()))) == ("two", "three")


def test_a_swap_by_hand_ends_the_canary(bucket: Bucket) -> None:
    publish(bucket, "one")
    models = loader(bucket, CountingEngine())
    begin(bucket)
    assert canary_of(models) == "two"
    settle()
    bucket.put(PREFIX + "model.weights.h5", b"weights three")
    bucket.put(PREFIX + "architecture.json", b"architecture three")
    assert (canary_of(models), weights(models.acquire(soon()))) == ("two", "one")
    settle()
    assert weights(models.acquire(soon())) == "three"
    assert models.canary is None


def test_a_canary_that_cannot_be_loaded_leaves_the_stable_model_alone_and_is_tried_once(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(bucket, "one")
    engine = CountingEngine()
    models = loader(bucket, engine)
    begin(bucket, "broken")
    assert [canary_of(models) for _ in range(3)] == ["none"] * 3
    assert weights(models.acquire(soon())) == "one"
    assert models.refusal is None
    assert models.canary is not None
    assert str(models.canary.refusal) == "broken weights"
    assert len(engine.opened) == 2
    told = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if line["level"] == "warning"]
    assert [(line["message"], line["canary"]) for line in told] == [
        ("the canary can't be loaded, the stable model answers its callers", "broken")
    ]
    begin(bucket, "two")
    assert canary_of(models) == "two"


def test_a_canary_whose_objects_are_gone_comes_back_with_them(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(bucket, "one")
    models = loader(bucket, CountingEngine())
    begin(bucket)
    bucket.server.failing = lambda request: "/versions/two/" in request.path
    assert canary_of(models) == "none"
    assert weights(models.acquire(soon())) == "one"
    assert "the canary is not loaded yet" in capsys.readouterr().out
    bucket.server.failing = None
    assert canary_of(models) == "two"


def test_what_is_said_of_a_canary_may_make_no_sense(bucket: Bucket) -> None:
    publish(bucket, "one")
    models = loader(bucket, CountingEngine())
    write(bucket, canary={"version": "two", "percent": 1000})
    assert (canary_of(models), weights(models.acquire(soon()))) == ("none", "one")
    assert models.canary is not None
    assert models.canary.refusal is not None


def test_the_same_model_as_canary_is_in_memory_once(bucket: Bucket) -> None:
    publish(bucket, "one")
    engine = CountingEngine()
    models = loader(bucket, engine)
    begin(bucket, "one")
    assert canary_of(models) == "one"
    assert models.canary is not None
    assert models.canary.model is not None
    assert models.canary.model.engine is models.acquire(soon()).engine
    assert len(engine.opened) == 1


def test_nobody_but_its_callers_waits_for_a_slow_canary(bucket: Bucket) -> None:
    publish(bucket, "one")
    go, engine = threading.Event(), CountingEngine()
    engine.before = lambda: None if not engine.opened else _wait(go)
    begin(bucket)
    models = loader(bucket, engine, check_s=60)
    assert weights(models.acquire(soon())) == "one"  # a first request: it would wait ten seconds
    assert weights(models.acquire(soon())) == "one"
    assert models.acquire_canary(time.monotonic() + 0.05) is None
    go.set()
    found = models.acquire_canary(soon())
    assert found is not None
    assert weights(found) == "two"


def _wait(event: threading.Event) -> None:
    assert event.wait(20)


def test_init_waits_for_the_stable_model_only_and_leaves_tensorflow_to_requests(bucket: Bucket) -> None:
    publish(bucket, "one")
    begin(bucket)
    engine = CountingEngine()
    models = loader(bucket, engine, check_s=60)
    models.prefetch()
    models.wait_prefetched(soon())
    assert engine.opened == []
    assert weights(models.acquire(soon())) == "one"
    assert canary_of(models) == "two"


def test_the_stable_model_gets_the_canarys_memory(bucket: Bucket) -> None:
    publish(bucket, "one")
    engine = CountingEngine()
    models = loader(bucket, engine)
    begin(bucket)
    assert canary_of(models) == "two"

    def full() -> None:
        assert models.canary is not None
        if models.canary.model is not None:
            raise ModelTooLargeError("no room beside two models")

    engine.before = full
    begun = {"version": "two", "percent": 10, "since": 1, "objects": objects(bucket, "two")}
    publish(bucket, "three")
    write(bucket, canary=begun)
    assert weights(models.acquire(soon())) == "three"
    assert models.refusal is None


def test_who_answers_no_callers_loads_no_canary(bucket: Bucket) -> None:
    publish(bucket, "one")
    begin(bucket)
    engine = CountingEngine()
    models = loader(bucket, engine)
    models._canaries = False
    assert weights(models.acquire(soon())) == "one"
    assert (models.canary, len(engine.opened)) == (None, 1)
