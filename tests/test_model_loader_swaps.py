"""The warm model while objects are swapped by hand: exchanged whole, never lost."""

from __future__ import annotations

import time

from tests.conftest import Bucket
from tests.support.warm_models import PREFIX, CountingEngine, loader, publish, put, settle, soon, weights

NEXT_SECOND_S = 1.1
"""S3's times are whole seconds: what is written within one is one moment of the history."""


def break_by_hand(bucket: Bucket) -> None:
    time.sleep(NEXT_SECOND_S)
    bucket.put(PREFIX + "model.weights.h5", b"broken")
    settle()


def test_a_swap_by_hand_counts_once_it_is_quiet(bucket: Bucket) -> None:
    publish(bucket, "one")
    models = loader(bucket, CountingEngine())
    assert weights(models.acquire(soon())) == "one"
    bucket.put(PREFIX + "model.weights.h5", b"weights two")
    assert weights(models.acquire(soon())) == "one"
    bucket.put(PREFIX + "architecture.json", b"architecture two")
    settle()
    assert weights(models.acquire(soon())) == "two"


def test_a_cold_start_in_the_middle_of_a_swap_takes_the_last_whole_bundle(bucket: Bucket) -> None:
    put(bucket, "one")
    settle()
    bucket.put(PREFIX + "model.weights.h5", b"weights two")
    assert weights(loader(bucket, CountingEngine()).acquire(soon())) == "one"


def test_a_cold_start_right_after_the_very_first_upload_waits_for_it_to_settle(bucket: Bucket) -> None:
    put(bucket, "one")
    assert weights(loader(bucket, CountingEngine()).acquire(soon())) == "one"


def test_a_cold_start_on_a_broken_bundle_takes_an_older_good_one(bucket: Bucket) -> None:
    put(bucket, "one")
    settle()
    bucket.put(PREFIX + "model.weights.h5", b"broken")
    settle()
    assert weights(loader(bucket, CountingEngine()).acquire(soon())) == "one"


def test_a_broken_swap_leaves_the_old_model_and_is_tried_once(bucket: Bucket) -> None:
    publish(bucket, "one")
    engine = CountingEngine()
    models = loader(bucket, engine)
    first = models.acquire(soon())
    bucket.put(PREFIX + "model.weights.h5", b"broken")
    settle()
    assert [models.acquire(soon()) for _ in range(3)] == [first] * 3
    assert len(engine.opened) == 2
    bucket.put(PREFIX + "architecture.json", b"architecture two")
    bucket.put(PREFIX + "model.weights.h5", b"weights two")
    settle()
    assert weights(models.acquire(soon())) == "two"


def test_labels_that_do_not_fit_leave_the_old_model(bucket: Bucket) -> None:
    publish(bucket, "one")
    models = loader(bucket, CountingEngine())
    first = models.acquire(soon())
    bucket.put(PREFIX + "labels.txt", b"only one\n")
    settle()
    assert models.acquire(soon()) is first


def test_the_same_content_put_again_keeps_the_model_without_building_it(bucket: Bucket) -> None:
    publish(bucket, "one")
    engine = CountingEngine()
    models = loader(bucket, engine)
    first = models.acquire(soon())
    publish(bucket, "one")
    assert models.acquire(soon()).engine is first.engine
    assert len(engine.opened) == 1


def test_a_deleted_object_leaves_the_old_model(bucket: Bucket) -> None:
    put(bucket, "one")
    settle()
    models = loader(bucket, CountingEngine())
    first = models.acquire(soon())
    bucket.boto.delete_object(Bucket=bucket.name, Key=PREFIX + "architecture.json")
    assert models.acquire(soon()) is first


def test_a_warm_function_adopts_what_was_published_unseen_before_a_broken_swap(bucket: Bucket) -> None:
    """As a cold function does: nobody asked the warm one for anything in between."""
    publish(bucket, "one")
    engine = CountingEngine()
    models = loader(bucket, engine)
    assert weights(models.acquire(soon())) == "one"
    time.sleep(NEXT_SECOND_S)
    publish(bucket, "two")
    break_by_hand(bucket)
    assert weights(loader(bucket, CountingEngine()).acquire(soon())) == "two"
    assert [weights(models.acquire(soon())) for _ in range(3)] == ["two"] * 3
    assert str(models.refusal) == "broken weights"
    assert len(engine.opened) == 3


def test_a_warm_function_that_has_the_right_older_model_looks_for_it_once(bucket: Bucket) -> None:
    publish(bucket, "one")
    models = loader(bucket, CountingEngine())
    first = models.acquire(soon())
    break_by_hand(bucket)
    assert models.acquire(soon()) is first
    models.acquire(soon())
    asked = bucket.server.requests
    asked.clear()
    assert [models.acquire(soon()) for _ in range(3)] == [first] * 3
    assert ["list-type=2" in request.query for request in asked] == [True] * 3


def test_the_older_model_is_looked_for_again_if_the_history_could_not_be_read(bucket: Bucket) -> None:
    publish(bucket, "one")
    models = loader(bucket, CountingEngine())
    models.acquire(soon())
    time.sleep(NEXT_SECOND_S)
    publish(bucket, "two")
    break_by_hand(bucket)
    bucket.server.failing = lambda request: "versions" in request.query
    assert weights(models.acquire(soon())) == "one"
    bucket.server.failing = None
    assert weights(models.acquire(soon())) == "two"


def test_a_bucket_without_a_history_leaves_the_old_model_and_is_asked_for_one_once(bucket: Bucket) -> None:
    bucket.boto.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Suspended"})
    put(bucket, "one")
    models = loader(bucket, CountingEngine())
    first = models.acquire(soon())
    break_by_hand(bucket)
    bucket.server.requests.clear()
    assert [models.acquire(soon()) for _ in range(3)] == [first] * 3
    assert sum("versions" in request.query for request in bucket.server.requests) == 1
