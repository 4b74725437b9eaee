"""Which engine opens a bundle: real reports on moto's S3, with engines that only say who they are."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from copy import replace

import numpy as np
import pytest

from classifier import opening
from classifier.bundle import Snapshot
from classifier.bundle_reader import Bundle
from classifier.compiled import MODEL, REPORT, Report, key_of, parse_report
from classifier.engines import Loaded
from classifier.errors import ModelError, ModelLoadingError
from classifier.model_store import ModelStore
from classifier.opening import LoadedModel, Opener
from classifier.serving import ModelShape, parse_serving
from local.s3 import LocalS3, S3Request
from tests.conftest import Bucket

PREFIX = "models/dev/"
SHAPE = ModelShape(8, 8, 3, 2, "softmax")
TFLITE = b"compiled"
TFLITE_SHA256 = hashlib.sha256(TFLITE).hexdigest()


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def predict(self, picture: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> object:
        raise NotImplementedError


def opened(name: str) -> Loaded:
    return Loaded(Named(name), parse_serving(None, b"cat\ndog", SHAPE), {})  # type: ignore[arg-type]


class World:
    """A prefix with one bundle, and an opener over it."""

    def __init__(self, bucket: Bucket, engine: str = "auto", patience_s: float = 3600) -> None:
        self.bucket = bucket
        self.store = ModelStore.at(bucket.s3, bucket.name, PREFIX, settle_s=0, max_bytes=10_000)
        self.opener = Opener(
            self.store.bundles, self.store.compiled, self._keras, self._litert, engine=engine, patience_s=patience_s
        )
        self.litert_fails = False

    def _keras(self, _: Bundle) -> Loaded:
        return opened("tensorflow")

    def _litert(self, model: bytes, _: Report) -> Loaded:
        assert model == TFLITE
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


def test_a_cold_function_takes_the_compiled_form_and_never_reads_the_weights(world: World) -> None:
    world.put_compiled()
    world.bucket.server.requests.clear()
    assert engine_of(world.open()) == "litert"
    assert not any("weights" in request.path for request in world.bucket.server.requests)


def test_a_cold_function_takes_tensorflow_when_nothing_is_compiled_yet(world: World) -> None:
    assert engine_of(world.open()) == "tensorflow"


def test_the_version_is_the_same_by_either_engine(world: World) -> None:
    reference = world.open()
    world.put_compiled()
    compiled = world.open()
    assert reference is not None
    assert compiled is not None
    assert reference.version == compiled.version


def test_a_warm_function_moves_to_the_compiled_form_when_it_appears(world: World) -> None:
    warm = world.open()
    assert world.open(warm) is None
    world.put_compiled()
    assert engine_of(world.open(warm)) == "litert"


def test_a_warm_function_waits_for_a_new_bundles_compiled_form(world: World) -> None:
    world.put_compiled()
    warm = world.open()
    world.swap("two")
    assert world.open(warm) is None
    world.put_compiled()
    assert engine_of(world.open(warm)) == "litert"


def test_its_patience_ends(bucket: Bucket) -> None:
    world = World(bucket, patience_s=0)
    world.swap("one")
    warm = world.open()
    world.swap("two")
    assert engine_of(world.open(warm)) == "tensorflow"


def test_a_report_that_refuses_ends_the_waiting(world: World) -> None:
    warm = world.open()
    world.swap("two")
    world.put_compiled(usable=False)
    assert engine_of(world.open(warm)) == "tensorflow"


def test_a_compiled_form_of_other_objects_is_never_taken(world: World) -> None:
    world.put_compiled()
    world.swap("two")
    assert engine_of(world.open()) == "tensorflow"


def test_a_compiled_form_that_is_not_what_its_report_is_about_is_refused(world: World) -> None:
    world.put_compiled(model=b"other bytes")
    assert engine_of(world.open()) == "tensorflow"


@pytest.fixture(autouse=True)
def _allowed(s3_server: LocalS3) -> Iterator[None]:
    yield
    s3_server.denying = None


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed may be tried again at once."""
    monkeypatch.setattr(opening, "RETRY_S", 0.0)


def denied(part: str) -> Callable[[S3Request], bool]:
    return lambda request: request.method == "GET" and part in request.path


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("part", [MODEL, REPORT])
def test_a_compiled_form_that_is_denied_for_a_moment_serves_once_it_is_not(world: World, part: str) -> None:
    world.put_compiled()
    world.bucket.server.denying = denied(part)
    warm = world.open()
    assert engine_of(warm) == "tensorflow"
    assert world.open(warm) is None
    world.bucket.server.denying = None
    assert engine_of(world.open(warm)) == "litert"


@pytest.mark.usefixtures("impatient")
def test_a_damaged_compiled_form_serves_once_it_is_repaired(world: World) -> None:
    world.put_compiled(model=b"half of it")
    warm = world.open()
    assert engine_of(warm) == "tensorflow"
    world.put_compiled()
    assert engine_of(world.open(warm)) == "litert"


@pytest.mark.usefixtures("impatient")
def test_a_damaged_report_counts_once_it_is_repaired(world: World) -> None:
    world.put_compiled()
    world.bucket.put(key_of(PREFIX, world.store.bundles.read(world.snapshot(), soon()).fingerprint, REPORT), b"{")
    warm = world.open()
    assert engine_of(warm) == "tensorflow"
    world.put_compiled()
    assert engine_of(world.open(warm)) == "litert"


def test_what_cannot_be_had_is_asked_for_ever_less_often(world: World) -> None:
    world.put_compiled(model=b"half of it")
    warm = world.open()
    world.bucket.server.requests.clear()
    assert [world.open(warm) for _ in range(3)] == [None] * 3
    assert [request for request in world.bucket.server.requests if request.path.endswith(MODEL)] == []
    (retry,) = world.opener._retries.values()
    world.opener._retries = {TFLITE_SHA256: replace(retry, at=0.0)}
    assert world.open(warm) is None
    assert world.opener._retries[TFLITE_SHA256].pause_s == 2 * opening.RETRY_S


def test_a_warm_function_stays_with_the_old_model_while_the_new_compiled_form_is_denied(world: World) -> None:
    world.put_compiled()
    warm = world.open()
    world.swap("two")
    world.put_compiled()
    world.bucket.server.denying = denied(MODEL)
    assert engine_of(warm) == "litert"
    assert world.open(warm) is None


def test_a_compiled_form_that_fails_is_not_tried_again(world: World) -> None:
    world.put_compiled()
    world.litert_fails = True
    warm = world.open()
    assert engine_of(warm) == "tensorflow"
    world.litert_fails = False
    assert world.open(warm) is None


def test_the_same_content_put_again_keeps_the_engine(world: World) -> None:
    world.put_compiled()
    warm = world.open()
    world.swap("one")
    assert world.open(warm) is None


@pytest.mark.parametrize(("engine", "expected"), [("tensorflow", "tensorflow"), ("litert", "litert")])
def test_the_setting_decides(bucket: Bucket, engine: str, expected: str) -> None:
    world = World(bucket, engine)
    world.swap("one")
    world.put_compiled()
    assert engine_of(world.open()) == expected


def test_litert_alone_waits_for_the_compiled_form(bucket: Bucket) -> None:
    world = World(bucket, "litert")
    world.swap("one")
    with pytest.raises(ModelLoadingError, match="no compiled form"):
        world.open()
    world.put_compiled()
    warm = world.open()
    world.swap("two")
    assert world.open(warm) is None
    world.put_compiled(usable=False)
    assert world.open(warm) is None
    with pytest.raises(ModelError, match="scores differ"):
        world.open()


def test_labels_in_two_places_do_not_hide_the_compiled_form_of_a_published_bundle(world: World) -> None:
    """Its objects' SHA-256 are known then, but which of them count is not."""
    world.bucket.put(PREFIX + "labels.txt", b"cat\ndog")
    world.bucket.put(PREFIX + "serving.json", b'{"labels": ["cat", "dog"]}')
    world.put_compiled()
    newest = world.snapshot()
    published = {
        part.key.removeprefix(PREFIX): {
            "key": part.key,
            "etag": part.etag,
            "version_id": world.bucket.boto.head_object(Bucket=world.bucket.name, Key=part.key)["VersionId"],
            "size": part.size,
            "sha256": hashlib.sha256(
                world.bucket.boto.get_object(Bucket=world.bucket.name, Key=part.key)["Body"].read()
            ).hexdigest(),
        }
        for part in newest.parts
    }
    world.bucket.put(PREFIX + "published.json", json.dumps({"objects": published}).encode())
    assert engine_of(world.open()) == "litert"


def test_a_report_survives_being_stored(world: World) -> None:
    identity = world.snapshot().identity
    report = Report(
        fingerprint="f" * 16,
        usable=True,
        reason="",
        identities=(identity,),
        shape=SHAPE,
        serving='{"top_k": 3}',
        labels="a\nb",
        model_sha256="0" * 64,
        model_bytes=7,
        measured={"float32": {"largest_difference": 1e-7}},
        versions={"keras": "3"},
        compiled="2026-01-01T00:00:00Z",
    )
    assert parse_report(report.to_json()) == report
    other = frozenset({("weights", "e")})
    assert report.also_for(other).identities == (identity, other)  # type: ignore[arg-type]
    assert replace(report.also_for(identity), identities=()) == replace(report, identities=())


@pytest.mark.parametrize("broken", [b"", b"[]", b"{}", b'{"identities": 3}', b'{"identities": [], "shape": {}}'])
def test_a_malformed_report_is_refused(broken: bytes) -> None:
    with pytest.raises(ModelError, match="malformed"):
        parse_report(broken)
