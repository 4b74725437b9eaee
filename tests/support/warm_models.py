"""A loader over moto's S3, bundles put there by hand or by publishing, and a tiny engine of ours."""

from __future__ import annotations

import hashlib
import json
import time
from array import array
from collections.abc import Buffer, Callable
from dataclasses import dataclass, field

from classifier.arrays import floats
from classifier.bundles.reader import Bundle
from classifier.bundles.serving import ModelShape, parse_serving
from classifier.bundles.store import ModelStore
from classifier.engines.engine import Loaded
from classifier.engines.opening import LoadedModel, Opener
from classifier.errors import ModelError
from classifier.s3.storage import S3
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
        if bytes(bundle.weights).startswith(b"broken"):
            raise ModelError("broken weights")
        serving = parse_serving(bundle.parts.get("serving"), bundle.parts.get("labels"), SHAPE)
        return Loaded(_Answer(bundle.parts["architecture"], bytes(bundle.weights)), serving, {"build": 1.0})


@dataclass
class _Answer:
    architecture: bytes
    weights: bytes
    name: str = "tensorflow"

    def predict(self, picture: Buffer) -> array[float]:
        return floats(memoryview(picture).tobytes()[:8])


def loader(bucket: Bucket, engine: CountingEngine, *, check_s: float = 0, s3: S3 | None = None) -> ModelLoader:
    s3 = s3 or bucket.s3
    store = ModelStore.at(s3, bucket.name, PREFIX, settle_s=SETTLE_S, max_bytes=1_000_000)
    opener = Opener(store.bundles, store.compiled, engine.open, _never_compiled, engine="tensorflow", patience_s=0)
    return ModelLoader(store.bundles, opener, check_s=check_s, reload_wait_s=5)


def _never_compiled(_model: object, _report: object) -> Loaded:
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
