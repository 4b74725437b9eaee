"""A prefix of moto's S3 with one bundle, and an opener over it whose engines only say who they are."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from mmap import mmap

import pytest

from classifier.bundles.bundle import Snapshot
from classifier.bundles.compiled import MODEL, REPORT, Report, key_of
from classifier.bundles.reader import Bundle
from classifier.bundles.serving import ModelShape, parse_serving
from classifier.bundles.store import ModelStore
from classifier.engines import opening
from classifier.engines.engine import Loaded
from classifier.engines.opening import LoadedModel, Opener
from classifier.errors import ModelError
from local.s3 import LocalS3, S3Request
from tests.conftest import Bucket

PREFIX = "models/dev/"
SHAPE = ModelShape(8, 8, 3, 2, "softmax")
TFLITE = b"compiled"
TFLITE_SHA256 = hashlib.sha256(TFLITE).hexdigest()


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def predict(self, picture: object) -> object:
        raise NotImplementedError


def opened(name: str) -> Loaded:
    return Loaded(Named(name), parse_serving(None, b"cat\ndog", SHAPE), {})  # type: ignore[arg-type]


class World:
    """A prefix with one bundle, and an opener over it."""

    def __init__(self, bucket: Bucket, engine: str = "auto", patience_s: float = 3600, memory: int = 0) -> None:
        self.bucket = bucket
        self.store = ModelStore.at(bucket.s3, bucket.name, PREFIX, settle_s=0, max_bytes=10_000)
        self.opener = Opener(
            self.store.bundles,
            self.store.compiled,
            self._keras,
            self._litert,
            engine=engine,
            patience_s=patience_s,
            memory=memory,
        )
        self.litert_fails = False
        self.keras_fails: ModelError | None = None

    def _keras(self, _: Bundle) -> Loaded:
        if self.keras_fails:
            raise self.keras_fails
        return opened("tensorflow")

    def _litert(self, model: bytes | mmap, _: Report) -> Loaded:
        assert bytes(model) == TFLITE
        if self.litert_fails:
            raise ModelError("LiteRT can't run the compiled form")
        return opened("litert")

    def swap(self, text: str) -> None:
        self.bucket.put(PREFIX + "architecture.json", text.encode())
        self.bucket.put(PREFIX + "weights.h5", text.encode())

    def snapshot(self) -> Snapshot:
        newest = self.store.bundles.look(soon()).newest
        assert isinstance(newest, Snapshot)
        return newest

    def put_compiled(self, *, usable: bool = True, model: bytes = TFLITE) -> None:
        bundle = self.store.bundles.read(self.snapshot(), soon())
        report = Report(
            fingerprint=bundle.fingerprint,
            usable=usable,
            reason="" if usable else "scores differ",
            identities=(bundle.snapshot.identity,),
            shape=SHAPE,
            serving=None,
            labels="cat\ndog",
            model_sha256=TFLITE_SHA256,
            model_bytes=len(TFLITE),
        )
        self.bucket.put(key_of(PREFIX, bundle.fingerprint, MODEL), model)
        self.bucket.put(key_of(PREFIX, bundle.fingerprint, REPORT), report.to_json())

    def open(self, current: LoadedModel | None = None) -> LoadedModel | None:
        return self.opener.open(self.snapshot(), self.store.bundles.look(soon()), current, soon())


def soon() -> float:
    return time.monotonic() + 10


def engine_of(model: LoadedModel | None) -> str:
    return "none" if model is None else model.engine.name


@pytest.fixture
def world(bucket: Bucket) -> World:
    made = World(bucket)
    made.swap("one")
    return made


@pytest.fixture(autouse=True)
def allowed(s3_server: LocalS3) -> Iterator[None]:
    yield
    s3_server.denying = None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed may be tried again at once."""
    monkeypatch.setattr(opening, "RETRY_S", 0.0)


def denied(part: str) -> Callable[[S3Request], bool]:
    return lambda request: request.method == "GET" and part in request.path
