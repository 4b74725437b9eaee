"""The warm model against moto's S3: adopted whole, exchanged whole, never lost. The engine is a tiny one of ours."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.bundle_reader import Bundle
from classifier.engines import Loaded
from classifier.errors import (
    ModelError,
    ModelLoadingError,
    ModelTooLargeError,
    StorageUnavailableError,
    UnavailableError,
)
from classifier.model_store import ModelStore
from classifier.opening import LoadedModel, Opener
from classifier.s3_http import Endpoint
from classifier.serving import ModelShape, parse_serving
from classifier.sigv4 import Credentials
from classifier.storage import S3
from model_loader import ModelLoader
from tests.conftest import Bucket

PREFIX = "models/dev/"
SETTLE_S = 1.0
SHAPE = ModelShape(8, 8, 3, 2, "softmax")


@dataclass
class CountingEngine:
    """An engine whose answer is its weights' bytes; `opened` counts how often a model was built."""

    opened: list[str] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def open(self, bundle: Bundle) -> Loaded:
        self.before()
        self.opened.append(bundle.fingerprint)
        if bundle.parts["weights"].startswith(b"broken"):
            raise ModelError("broken weights")
        serving = parse_serving(bundle.parts.get("serving"), bundle.parts.get("labels"), SHAPE)
        return Loaded(_Answer(bundle.parts["architecture"], bundle.parts["weights"]), serving, {"build": 1.0})


@dataclass
class _Answer:
    architecture: bytes
    weights: bytes
    name: str = "tensorflow"

    def predict(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.frombuffer(picture.tobytes()[:8], np.float32)


def loader(bucket: Bucket, engine: CountingEngine, *, check_s: float = 0, s3: S3 | None = None) -> ModelLoader:
    s3 = s3 or bucket.s3
    store = ModelStore.at(s3, bucket.name, PREFIX, settle_s=SETTLE_S, max_bytes=1_000_000)
    opener = Opener(store.bundles, store.compiled, engine.open, _never_compiled, engine="tensorflow", patience_s=0)
    return ModelLoader(store.bundles, opener, check_s=check_s, reload_wait_s=5)


def _never_compiled(_model: bytes, _report: object) -> Loaded:
    raise AssertionError("ENGINE=tensorflow never opens a compiled form")


def put(bucket: Bucket, version: str) -> None:
    bucket.put(PREFIX + "architecture.json", f"architecture {version}".encode())
    bucket.put(PREFIX + "model.weights.h5", f"weights {version}".encode())
    bucket.put(PREFIX + "labels.txt", b"cat\ndog\n")


def publish(bucket: Bucket, version: str, *, untrue: bool = False) -> None:
    """As `publish` does it: the objects first, then `published.json`, which pins their versions."""
    objects = {}
    for name, text in (("architecture.json", "architecture"), ("model.weights.h5", "weights"), ("labels.txt", "")):
        data = f"{text} {version}".encode() if text else b"cat\ndog\n"
        answer = bucket.put(PREFIX + name, data)
        objects[name] = {
            "key": PREFIX + name,
            "version_id": answer["VersionId"],
            "etag": answer["ETag"],
            "size": len(data),
            "sha256": "0" * 64 if untrue else hashlib.sha256(data).hexdigest(),
        }
    bucket.put(PREFIX + "published.json", json.dumps({"version": version, "objects": objects}).encode())


def settle() -> None:
    time.sleep(SETTLE_S + 1.1)  # S3's times are whole seconds


def soon() -> float:
    return time.monotonic() + 10


def weights(model: LoadedModel) -> str:
    assert isinstance(model.engine, _Answer)
    version = model.engine.weights.decode().split()[-1]
    assert model.engine.architecture.decode().split()[-1] == version, "architecture and weights of different models"
    return version


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
    monkeypatch.setattr("classifier.bundle_reader.MAX_TEXT_BYTES", 1000)
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
