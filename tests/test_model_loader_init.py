"""What INIT loads, what it leaves to the first request, and that it waits for nobody too long."""

from __future__ import annotations

import time

import pytest

from classifier.errors import StorageUnavailableError
from model_loader import ModelLoader
from tests.conftest import Bucket
from tests.support.openers import World, soon
from tests.support.openers import world as world
from tests.support.origin import then_hang
from tests.support.scripted_s3 import ScriptedS3
from tests.support.warm_models import CountingEngine, loader, publish, weights


def test_a_compiled_form_is_ready_when_init_is_over(world: World) -> None:
    world.put_compiled()
    models = ModelLoader(world.store.bundles, world.opener, check_s=60, reload_wait_s=5)
    models.prefetch()
    models.wait_prefetched(soon())
    ready = models.current
    assert ready is not None
    assert ready.engine.name == "litert"
    world.bucket.server.requests.clear()
    assert models.acquire(soon()) is ready
    assert world.bucket.server.requests == []


def test_tensorflow_is_left_to_the_first_request(bucket: Bucket) -> None:
    publish(bucket, "one")
    engine = CountingEngine()
    models = loader(bucket, engine, check_s=60)
    models.prefetch()
    models.wait_prefetched(soon())
    assert (models.current, engine.opened) == (None, [])
    assert weights(models.acquire(soon())) == "one"


def test_an_s3_that_hangs_does_not_hold_init(bucket: Bucket) -> None:
    with ScriptedS3(then_hang(b"")) as s3:
        models = loader(bucket, CountingEngine(), s3=s3.client)
        models.prefetch()
        models.wait_prefetched(time.monotonic() + 0.2)
        assert models._job is not None
        assert not models._job.done.is_set()


def test_what_failed_in_init_is_tried_again_by_the_first_request(bucket: Bucket) -> None:
    models = loader(bucket, CountingEngine())
    bucket.server.failing = lambda _: True
    models.prefetch()
    models.wait_prefetched(soon())
    bucket.server.failing = None
    publish(bucket, "one")
    assert weights(models.acquire(soon())) == "one"
    bucket.server.failing = lambda _: True
    with pytest.raises(StorageUnavailableError):
        loader(bucket, CountingEngine()).acquire(soon())
