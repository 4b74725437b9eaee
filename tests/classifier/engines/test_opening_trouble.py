"""What an opener does about compiled forms and reports that are denied, damaged or malformed."""

from __future__ import annotations

from copy import replace

import pytest

from classifier.bundles.compiled import MODEL, REPORT, Report, key_of, parse_report
from classifier.engines import opening
from classifier.errors import ModelError
from tests.support.openers import PREFIX, SHAPE, TFLITE_SHA256, World, denied, engine_of, soon
from tests.support.openers import allowed as allowed
from tests.support.openers import impatient as impatient
from tests.support.openers import world as world


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
    with pytest.raises(ModelError, match=r"report\.json"):
        parse_report(broken)
