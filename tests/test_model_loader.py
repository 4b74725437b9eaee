"""The warm model against moto's S3: adopted whole, kept, and what is said when there is none."""

from __future__ import annotations

import threading
import time

import pytest

from classifier.errors import (
    ModelError,
    ModelLoadingError,
    ModelTooLargeError,
    StorageUnavailableError,
    UnavailableError,
)
from classifier.s3.endpoint import Endpoint
from classifier.s3.sigv4 import Credentials
from classifier.s3.storage import S3
from tests.conftest import Bucket
from tests.support.warm_models import PREFIX, CountingEngine, loader, publish, settle, soon, weights


def test_a_published_bundle_is_adopted_at_once_and_kept(bucket: Bucket) -> None:
    engine = CountingEngine()
    publish(bucket, "one")
    models = loader(bucket, engine, check_s=60)
    first = models.acquire(soon())
    assert weights(first) == "one"
    assert first.serving.labels == ("cat", "dog")
    assert models.acquire(soon()) is first
    assert len(engine.opened) == 1


@pytest.mark.parametrize("broken", [b"{", b"[]", b'{"objects": {"labels.txt": {"key": "elsewhere/x"}}}'])
def test_a_cold_function_goes_back_behind_a_publication_that_cannot_be_read(bucket: Bucket, broken: bytes) -> None:
    publish(bucket, "one")
    settle()
    bucket.put(PREFIX + "published.json", broken)
    models = loader(bucket, CountingEngine())
    assert weights(models.acquire(soon())) == "one"
    assert weights(models.acquire(soon())) == "one"
    publish(bucket, "two")
    assert weights(models.acquire(soon())) == "two"


def test_a_publication_that_is_untrue_of_sound_objects_does_not_stand_in_the_way_of_a_true_one(bucket: Bucket) -> None:
    publish(bucket, "one")
    settle()
    publish(bucket, "one", untrue=True)
    assert weights(loader(bucket, CountingEngine()).acquire(soon())) == "one"
    publish(bucket, "two")
    warm = loader(bucket, CountingEngine())
    assert weights(warm.acquire(soon())) == "two"
    publish(bucket, "one", untrue=True)
    assert weights(warm.acquire(soon())) == "two"
    publish(bucket, "one")
    assert weights(warm.acquire(soon())) == "one"


def test_a_publication_that_cannot_be_read_with_nothing_before_it_is_a_broken_bundle(bucket: Bucket) -> None:
    bucket.put(PREFIX + "published.json", b"{")
    with pytest.raises(ModelError):
        loader(bucket, CountingEngine()).acquire(soon())


def test_a_warm_request_asks_s3_for_nothing_between_checks(bucket: Bucket) -> None:
    publish(bucket, "one")
    models = loader(bucket, CountingEngine(), check_s=60)
    first = models.acquire(soon())
    bucket.boto.delete_object(Bucket=bucket.name, Key=PREFIX + "published.json")
    publish(bucket, "two")
    assert models.acquire(soon()) is first


def test_publishing_again_replaces_the_model(bucket: Bucket) -> None:
    publish(bucket, "one")
    models = loader(bucket, CountingEngine())
    assert weights(models.acquire(soon())) == "one"
    publish(bucket, "two")
    assert weights(models.acquire(soon())) == "two"


def test_without_a_bundle_a_cold_start_says_that_no_model_is_available(bucket: Bucket) -> None:
    with pytest.raises(UnavailableError, match="no whole bundle"):
        loader(bucket, CountingEngine()).acquire(soon())


def test_a_broken_only_bundle_is_the_models_fault(bucket: Bucket) -> None:
    bucket.put(PREFIX + "model.weights.h5", b"broken")  # first, so that there is never a whole bundle without it
    bucket.put(PREFIX + "architecture.json", b"architecture one")
    settle()
    with pytest.raises(ModelError, match="broken weights"):
        loader(bucket, CountingEngine()).acquire(soon())


@pytest.mark.parametrize(
    ("name", "size"), [("model.weights.h5", 1_000_001), ("architecture.json", 1001), ("serving.json", 1001)]
)
def test_a_bundle_over_a_limit_is_refused_before_it_is_read(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str, size: int
) -> None:
    monkeypatch.setattr("classifier.bundles.reader.MAX_TEXT_BYTES", 1000)
    bucket.put(PREFIX + name, bytes(size))  # first, so that there is never a whole bundle without it
    for part in {"architecture.json", "model.weights.h5"} - {name}:
        bucket.put(PREFIX + part, b"1")
    settle()
    with pytest.raises(ModelTooLargeError, match=r"has \d+ bytes, at most \d+ are"):
        loader(bucket, CountingEngine()).acquire(soon())
    assert not any(request.method == "GET" and request.path.endswith(name) for request in bucket.server.requests)


def test_a_first_request_out_of_time_leaves_loading_going_on(bucket: Bucket) -> None:
    publish(bucket, "one")
    go = threading.Event()
    models = loader(bucket, CountingEngine(before=go.wait), check_s=60)  # type: ignore[arg-type]
    with pytest.raises(ModelLoadingError):
        models.acquire(time.monotonic() + 0.2)
    go.set()
    assert weights(models.acquire(soon())) == "one"


def test_an_s3_that_is_down_is_told_when_cold_and_survived_when_warm(bucket: Bucket) -> None:
    publish(bucket, "one")
    models = loader(bucket, CountingEngine())
    first = models.acquire(soon())
    down = S3(Endpoint("us-east-1", "http://127.0.0.1:9"), lambda: Credentials("test", "test"))
    models._reader._s3 = down
    assert models.acquire(soon()) is first
    with pytest.raises(StorageUnavailableError):
        loader(bucket, CountingEngine(), s3=down).acquire(soon())


def test_looking_ahead_never_loads_a_first_model(bucket: Bucket) -> None:
    publish(bucket, "one")
    engine = CountingEngine()
    models = loader(bucket, engine)
    models.look_ahead()
    assert models.current is None
    models.acquire(soon())
    assert len(engine.opened) == 1


def test_a_refused_newest_is_told_until_a_good_one_serves(bucket: Bucket) -> None:
    publish(bucket, "one")
    warm = loader(bucket, CountingEngine())
    assert weights(warm.acquire(soon())) == "one"
    assert warm.refusal is None
    settle()
    bucket.put(PREFIX + "model.weights.h5", b"broken")
    bucket.put(PREFIX + "architecture.json", b"architecture two")
    settle()
    assert weights(warm.acquire(soon())) == "one"
    assert str(warm.refusal) == "broken weights"
    cold = loader(bucket, CountingEngine())
    assert weights(cold.acquire(soon())) == "one"
    assert str(cold.refusal) == "broken weights"
    publish(bucket, "three")
    assert weights(warm.acquire(soon())) == "three"
    assert warm.refusal is None
