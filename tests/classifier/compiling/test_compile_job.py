"""The compile function's work when it is stopped, doubled, denied or overtaken: what counts in S3 is whole, always.

Compiling itself is a stand-in that takes no time; tests/classifier/compiling/test_compiler.py does it for real.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import replace
from typing import Any

import pytest

from classifier.bundles.compiled import MODEL, REPORT, key_of
from classifier.compiling.compile_job import CompileJob
from classifier.errors import StorageUnavailableError, UnavailableError
from local.s3 import S3Request
from local.s3_changes import S3Change
from tests.support.compile_jobs import PREFIX, StandIn, World, soon
from tests.support.compile_jobs import compiling as compiling
from tests.support.compile_jobs import world as world


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


def test_a_report_that_guessed_what_the_numbers_are_is_made_anew(world: World, compiling: StandIn) -> None:
    """Earlier versions took whatever they didn't know for logits, or for softmax."""
    world.swap("one")
    first = world.run()

    def read(key: str) -> dict[str, Any]:
        body = world.bucket.boto.get_object(Bucket=world.bucket.name, Key=key)["Body"].read()
        found: dict[str, Any] = json.loads(body)
        return found

    key = key_of(world.prefix, first["version"], REPORT)
    report = read(key)
    guessed = {**report, "shape": {**report["shape"], "activation": "linear", "outputs": []}}
    world.bucket.put(key, json.dumps(guessed).encode())

    assert world.run()["result"] == "compiled"
    assert compiling.done == [first["version"]] * 2
    assert read(key)["shape"] == report["shape"]
