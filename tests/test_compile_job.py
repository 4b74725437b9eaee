"""The compile function's work when it is stopped, doubled, denied or overtaken: what counts in S3 is whole, always.

Compiling itself is a stand-in that takes no time; tests/test_compiler.py does it for real.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from copy import replace
from dataclasses import dataclass, field
from typing import Any

import pytest

from classifier import compile_job, storage
from classifier.bundle import Snapshot
from classifier.bundle_reader import Bundle
from classifier.compile_job import MAX_PROBES, CompileJob
from classifier.compiled import MODEL, REPORT, Report, key_of, parse_report
from classifier.compiler import Compiled
from classifier.errors import ModelError, StorageUnavailableError, UnavailableError
from classifier.model_store import ModelStore
from classifier.serving import ModelShape
from local.s3 import LocalS3, S3Request
from local.s3_changes import S3Change
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

    def __call__(self, bundle: Bundle, pictures: list[bytes], quantize: tuple[str, ...]) -> Compiled:
        number = 0 if self.alike else len(self.done)
        self.done.append(bundle.fingerprint)
        self.pictures = pictures
        if self.meanwhile:
            self.meanwhile.pop(0)()
        files = {form: f"{form} {bundle.fingerprint} {number}".encode() for form in ("float32", *quantize)}
        if bundle.parts["weights"].startswith(b"broken"):
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
    monkeypatch.setattr(storage, "BACKOFF_S", 0.001)
    return stand_in


@pytest.fixture
def world(bucket: Bucket, s3_server: LocalS3) -> Iterator[World]:
    made = World(bucket)
    made.swap("one")
    yield made
    s3_server.denying = None
    s3_server.listeners.clear()


def after(count: int) -> Callable[[S3Request], bool]:
    """True for every request after the first `count`."""
    seen: list[S3Request] = []

    def is_over(request: S3Request) -> bool:
        seen.append(request)
        return len(seen) > count

    return is_over


def test_stopped_at_any_request_it_leaves_nothing_half_and_the_next_event_ends_it(world: World) -> None:
    """S3 knows of a sandbox by its requests only: being killed is to send no more of them."""
    world.bucket.server.requests.clear()
    world.run("float16")
    requests = len(world.bucket.server.requests)
    assert requests > 8
    for count in range(requests):
        stopped = World(world.bucket, f"models/stopped-{count}/")
        stopped.swap("one")
        world.bucket.server.failing = after(count)
        try:
            CompileJob(stopped.store(), ("float16",)).run(soon())
        except StorageUnavailableError:
            pass
        else:
            assert count == requests - 1  # it had written all, and only wanted to look once more
        world.bucket.server.failing = None
        stopped.found()
        assert stopped.run("float16")["usable"]
        assert stopped.found() is not None


@pytest.mark.parametrize("alike", [True, False])
def test_of_two_at_once_the_second_leaves_the_firsts_form_alone(
    world: World, compiling: StandIn, *, alike: bool
) -> None:
    compiling.alike = alike
    compiling.meanwhile = [world.run]
    assert world.run()["usable"]
    assert len(compiling.done) == 2
    assert world.found() is not None
    assert (world.written(MODEL), world.written(REPORT)) == (1, 1)


@pytest.mark.parametrize("moment", [MODEL, REPORT])
def test_two_that_write_at_once_end_with_one_whole_form(world: World, moment: str) -> None:
    """The other one does all its work right after this one wrote an object, with other bytes."""
    others: list[dict[str, Any]] = []

    def interrupt(change: S3Change) -> None:
        if change.key.endswith(moment) and not others:
            others.append({})
            others[0] |= world.run()

    world.bucket.server.listeners.append(interrupt)
    done = world.run()
    assert (done["usable"], others[0]["usable"]) == (True, True)
    found = world.found()
    assert found is not None
    assert found.fingerprint == done["version"] == others[0]["version"]


def test_two_bundles_at_once_each_get_their_form_and_both_end_with_the_newest(world: World, compiling: StandIn) -> None:
    others: list[dict[str, Any]] = []

    def swap() -> None:
        world.swap("two")
        others.append(world.run())

    compiling.meanwhile = [swap]
    done = world.run()
    assert others[0]["version"] == done["version"]
    assert len(set(compiling.done)) == 2
    found = world.found()
    assert found is not None
    assert found.fingerprint == done["version"]
    world.swap("one")
    assert world.run()["version"] != done["version"]
    assert len(compiling.done) == 2


def test_a_bundle_swapped_while_it_compiles_is_compiled_next(world: World, compiling: StandIn) -> None:
    compiling.meanwhile = [lambda: world.swap("two")]
    done = world.run()
    assert (len(compiling.done), compiling.done[-1]) == (2, done["version"])
    found = world.found()
    assert found is not None
    assert found.fingerprint == done["version"]


@pytest.mark.parametrize(
    ("what", "denied"),
    [
        ("PUT .*compiled/.*403 AccessDenied", lambda request: request.method == "PUT"),
        ("GET .*weights.h5: 403 AccessDenied", lambda request: request.path.endswith("weights.h5")),
        ("GET .*403 AccessDenied", lambda request: "list-type" in request.query),
    ],
)
def test_denied_it_says_what_was_and_ends_and_the_next_event_does_it(
    world: World, what: str, denied: Callable[[S3Request], bool]
) -> None:
    world.bucket.server.denying = denied
    world.bucket.server.requests.clear()
    with pytest.raises(UnavailableError, match=what):
        world.run()
    assert len(world.bucket.server.requests) < 30
    world.bucket.server.denying = None
    assert world.run()["result"] == "compiled"
    assert world.found() is not None


def test_throttled_now_and_then_it_goes_on(world: World) -> None:
    seen: set[S3Request] = set()

    def first_of_its_kind(request: S3Request) -> bool:
        kind = replace(request, time=0.0)
        return kind not in seen and not seen.add(kind)  # type: ignore[func-returns-value]

    world.bucket.server.failing = first_of_its_kind
    assert world.run()["usable"]
    world.bucket.server.failing = None
    assert world.found() is not None


def test_events_twice_late_or_about_what_was_deleted_compile_nothing_again(world: World, compiling: StandIn) -> None:
    for _ in range(3):
        world.run()
    assert len(compiling.done) == 1
    world.bucket.boto.delete_object(Bucket=world.bucket.name, Key=PREFIX + "weights.h5")
    assert world.run() == {"result": "no whole bundle"}
    world.swap("two")
    world.swap("one")
    assert world.run()["result"] == "compiled before"


def test_the_same_content_under_new_objects_is_known(world: World, compiling: StandIn) -> None:
    world.run()
    world.bucket.boto.delete_object(Bucket=world.bucket.name, Key=PREFIX + "weights.h5")
    world.bucket.put(PREFIX + "model.weights.h5", b"one")
    world.run()
    assert len(compiling.done) == 1
    assert world.found() is not None


@pytest.mark.parametrize("damage", ["other bytes", "gone", "report"])
def test_a_damaged_form_is_made_again(world: World, compiling: StandIn, damage: str) -> None:
    version = world.run()["version"]
    if damage == "gone":
        world.bucket.boto.delete_object(Bucket=world.bucket.name, Key=key_of(PREFIX, version, MODEL))
    else:
        world.bucket.put(key_of(PREFIX, version, MODEL if damage == "other bytes" else REPORT), b"half of i")
    assert world.run()["result"] == "compiled"
    assert len(compiling.done) == 2
    assert world.found() is not None


def test_a_form_that_only_its_publisher_could_make_is_left_alone(world: World, compiling: StandIn) -> None:
    version = world.run()["version"]
    key = key_of(PREFIX, version, REPORT)
    stored = parse_report(world.bucket.boto.get_object(Bucket=world.bucket.name, Key=key)["Body"].read())
    only = replace(stored, measured={**stored.measured, "compiled_only": True})
    world.bucket.put(key, only.to_json())
    world.bucket.put(key_of(PREFIX, version, MODEL), b"damaged")
    assert world.run("float16")["result"] == "compiled before"
    assert len(compiling.done) == 1


def test_smaller_forms_that_are_asked_for_later_are_added(world: World) -> None:
    version = world.run()["version"]
    assert world.run("float16")["result"] == "compiled"
    found = world.found()
    assert found is not None
    assert {*found.measured} == {"float32", "float16"}
    assert world.written(MODEL) == 1
    assert world.bucket.boto.head_object(Bucket=world.bucket.name, Key=key_of(PREFIX, version, "model.float16.tflite"))
    assert world.run("float16")["result"] == "compiled before"


def test_a_broken_bundle_gets_a_report_once(world: World, compiling: StandIn) -> None:
    world.swap("broken")
    done = world.run()
    assert (done["usable"], done["reason"]) == (False, "model_invalid: broken weights")
    assert world.run()["result"] == "compiled before"
    assert len(compiling.done) == 1


@pytest.mark.parametrize(
    ("key", "data", "reason"),
    [
        ("published.json", b"{", "model_invalid: .*malformed"),
        ("weights.h5", bytes(MOST_BYTES), "model_too_large"),
    ],
)
def test_what_cannot_even_be_read_is_a_result_and_no_crash(world: World, key: str, data: bytes, reason: str) -> None:
    world.bucket.put(PREFIX + key, data)
    done = world.run()
    assert (done["result"], done["usable"]) == ("not readable", False)
    assert re.match(reason, done["reason"])


def test_running_out_of_memory_says_nothing_of_the_model(world: World, compiling: StandIn) -> None:
    def exhausted() -> None:
        raise ModelError("Keras can't run the model") from MemoryError()

    compiling.meanwhile = [exhausted]
    with pytest.raises(ModelError):
        world.run()
    assert world.found() is None
    assert world.run()["usable"]


def test_probes_that_cannot_be_read_are_left_out(world: World, compiling: StandIn) -> None:
    from classifier.images import ImageLimits

    pictures = {"a.jpg": b"a picture", "b.jpg": b"denied", "c.jpg": bytes(ImageLimits().max_bytes + 1), "folder/": b""}
    for name, data in pictures.items():
        world.bucket.put(f"{PREFIX}probes/{name}", data)
    world.bucket.server.denying = lambda request: request.path.endswith("b.jpg")
    assert world.run()["usable"]
    assert compiling.pictures == [b"a picture"]
    assert len(pictures) < MAX_PROBES


def test_published_with_labels_in_two_places_it_comes_to_an_end(world: World, compiling: StandIn) -> None:
    world.bucket.put(PREFIX + "labels.txt", b"cat\ndog")
    world.bucket.put(PREFIX + "serving.json", b'{"labels": ["cat", "dog"]}')
    names = ("architecture.json", "weights.h5", "labels.txt", "serving.json")
    published = {name: pinned(world.bucket, PREFIX + name) for name in names}
    world.bucket.put(PREFIX + "published.json", json.dumps({"objects": published}).encode())
    assert world.run()["usable"]
    assert world.run()["result"] == "compiled before"
    assert len(compiling.done) == 1


def pinned(bucket: Bucket, key: str) -> dict[str, Any]:
    """What `published.json` says of an object."""
    answer = bucket.boto.get_object(Bucket=bucket.name, Key=key)
    data = answer["Body"].read()
    known = {"etag": answer["ETag"], "version_id": answer["VersionId"], "size": len(data)}
    return {"key": key, **known, "sha256": hashlib.sha256(data).hexdigest()}
