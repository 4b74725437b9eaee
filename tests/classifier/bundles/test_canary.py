"""Which callers a canary gets: a share of them, always the same, and what S3 says of it."""

from __future__ import annotations

import hashlib
import json
from copy import replace
from typing import Any

import pytest

from classifier.bundles.bundle import Publication, Snapshot, choose, parse_publication
from classifier.bundles.canary import Plan, plan_of, position
from classifier.s3.listing import ObjectInfo

PREFIX = "models/dev/"
VERSION, OTHER = "10fbeab8e23acd94", "0123456789abcdef"
KEYS = [f"203.0.{number // 256}.{number % 256}" for number in range(10_000)]


def plan(percent: int, version: str = VERSION) -> Plan:
    return Plan(version, percent, shadow=False, snapshot=None)


def test_of_ten_thousand_callers_a_tenth_is_the_canarys() -> None:
    for version in (VERSION, OTHER):
        assert 800 < sum(map(plan(10, version).has, KEYS)) < 1200


def test_a_larger_share_only_adds_callers() -> None:
    before: set[str] = set()
    for percent in (0, 1, 10, 37, 50, 99, 100):
        has = {key for key in KEYS if plan(percent).has(key)}
        assert before <= has
        assert len(has) == pytest.approx(percent * 100, abs=200)
        before = has
    assert before == set(KEYS)


def test_another_canary_meets_other_callers() -> None:
    one, other = (frozenset(filter(plan(10, version).has, KEYS)) for version in (VERSION, OTHER))
    assert len(one & other) < 200  # 100 by chance


def test_a_position_is_what_the_documentation_says() -> None:
    digest = hashlib.sha256(b"10fbeab8e23acd94\x00203.0.113.7").hexdigest()
    assert position("203.0.113.7", VERSION) == int(digest[:16], 16)
    assert position("käse \udc00", VERSION) != position("käse", VERSION)


def document(**canary: Any) -> dict[str, Any]:
    def objects(text: str) -> dict[str, Any]:
        entry = {"version_id": "v", "size": 1, "sha256": "0" * 64}
        return {
            name: entry | {"key": f"{PREFIX}versions/{text}/{name}", "etag": f"{text} {name}"}
            for name in ("architecture.json", "model.weights.h5")
        }

    said = {"version": OTHER, "percent": 10, "since": 150, "objects": objects("two"), **canary}
    return {"version": VERSION, "objects": objects("one"), "live_since": 50, "canary": said}


def publication(found: dict[str, Any]) -> Publication:
    return parse_publication(json.dumps(found).encode(), 100.0, PREFIX)


def test_both_models_are_pinned_and_keep_the_time_they_went_live() -> None:
    found = publication(document(shadow=True))
    stable = choose([], found, 1000, 10)
    canary = plan_of(found, stable, PREFIX)
    assert isinstance(stable, Snapshot)
    assert canary is not None
    assert canary.snapshot is not None
    assert (stable.updated, canary.snapshot.updated) == (50, 150)
    assert (canary.version, canary.percent, canary.shadow, canary.problem) == (OTHER, 10, True, "")
    assert {part.etag.split()[0] for part in canary.snapshot.parts} == {"two"}


def test_objects_swapped_by_hand_end_a_canary_once_they_count() -> None:
    found = publication(document())
    swapped = ObjectInfo(f"{PREFIX}model.weights.h5", "by hand", 1, 200.0)
    assert plan_of(found, choose([swapped], found, 205, 10), PREFIX) is not None
    assert plan_of(found, choose([swapped], found, 300, 10), PREFIX) is None
    assert plan_of(found, choose([replace(swapped, modified=90.0)], found, 300, 10), PREFIX) is not None


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (document(percent=101), "percent is 101"),
        (document(percent="10"), "expected a whole number"),
        (document(objects={}), "no architecture or no weights"),
        (document(objects={"architecture.json": {}}), "has no etag"),
        (document(since=None), "canary.since is null"),
        ({**document(), "canary": ["x"]}, "no object"),
    ],
)
def test_what_is_wrong_with_a_canary_is_not_wrong_with_the_stable_model(broken: dict[str, Any], why: str) -> None:
    found = publication(broken)
    stable = choose([], found, 1000, 10)
    canary = plan_of(found, stable, PREFIX)
    assert isinstance(stable, Snapshot)
    assert canary is not None
    assert canary.snapshot is None
    assert why in canary.problem


def test_without_a_canary_there_is_no_plan() -> None:
    found = publication({name: value for name, value in document().items() if name != "canary"})
    assert plan_of(found, choose([], found, 1000, 10), PREFIX) is None
