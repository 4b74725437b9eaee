"""Compile jobs over a prefix of moto's S3, with a stand-in that compiles in no time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from classifier.bundles.bundle import Snapshot
from classifier.bundles.compiled import Report
from classifier.bundles.reader import Bundle
from classifier.bundles.serving import ModelShape
from classifier.bundles.store import ModelStore
from classifier.compiling import compile_job
from classifier.compiling.compile_job import CompileJob
from classifier.compiling.compiler import Compiled
from classifier.errors import ModelError
from classifier.s3 import exchange
from local.s3 import LocalS3
from tests.conftest import Bucket

PREFIX = "models/dev/"
MOST_BYTES = 100_000


@dataclass(slots=True)
class StandIn:
    """Takes compile_bundle's place: other bytes each time, unless `alike`; `meanwhile` runs before it ends."""

    alike: bool = False
    meanwhile: list[Callable[[], object]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)
    memory: int = 0

    def __call__(self, bundle: Bundle, pictures: list[bytes], quantize: tuple[str, ...], memory: int) -> Compiled:
        self.memory = memory
        number = 0 if self.alike else len(self.done)
        self.done.append(bundle.fingerprint)
        self.pictures = pictures
        if self.meanwhile:
            self.meanwhile.pop(0)()
        files = {form: f"{form} {bundle.fingerprint} {number}".encode() for form in ("float32", *quantize)}
        if bytes(bundle.weights).startswith(b"broken"):
            raise ModelError("broken weights")
        return report_on(bundle, files), files


def report_on(bundle: Bundle, files: dict[str, bytes]) -> Report:
    return Report(
        fingerprint=bundle.fingerprint,
        usable=True,
        reason="",
        identities=(bundle.snapshot.identity,),
        shape=ModelShape(8, 8, 3, 2, "softmax"),
        serving=None,
        labels=None,
        model_sha256=hashlib.sha256(files["float32"]).hexdigest(),
        model_bytes=len(files["float32"]),
        measured={form: {"reason": ""} for form in files},
    )


class World:
    """A prefix, and jobs over it that share nothing, as sandboxes do."""

    def __init__(self, bucket: Bucket, prefix: str = PREFIX) -> None:
        self.bucket, self.prefix = bucket, prefix

    def store(self) -> ModelStore:
        return ModelStore.at(self.bucket.s3, self.bucket.name, self.prefix, settle_s=0, max_bytes=MOST_BYTES)

    def run(self, *quantize: str) -> dict[str, Any]:
        return CompileJob(self.store(), quantize).run(soon())

    def swap(self, text: str) -> None:
        self.bucket.put(self.prefix + "architecture.json", f"architecture {text}".encode())
        self.bucket.put(self.prefix + "weights.h5", text.encode())

    def found(self) -> Report | None:
        """The report that a sandbox would find for what is newest; whatever counts has to be whole."""
        store = self.store()
        view = store.bundles.look(soon())
        for info in view.reports:
            report = store.compiled.report(info, soon())
            assert report is not None
            assert not report.usable or store.compiled.compiled_model(report, soon())
        assert isinstance(view.newest, Snapshot)
        return store.compiled.report_for(view.newest, view.reports, soon())

    def written(self, name: str) -> int:
        """How often an object of a compiled form was written."""
        requests = self.bucket.server.requests
        return sum(request.method == "PUT" and request.path.endswith(name) for request in requests)


def soon() -> float:
    return time.monotonic() + 20


@pytest.fixture(autouse=True)
def compiling(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(compile_job, "compile_bundle", stand_in)
    monkeypatch.setattr(compile_job, "CHANGE_PAUSE_S", 0.0)
    monkeypatch.setattr(exchange, "BACKOFF_S", 0.001)
    return stand_in


@pytest.fixture
def world(bucket: Bucket, s3_server: LocalS3) -> Iterator[World]:
    made = World(bucket)
    made.swap("one")
    yield made
    s3_server.denying = None
    s3_server.listeners.clear()
