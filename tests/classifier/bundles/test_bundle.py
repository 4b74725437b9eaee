"""Which objects are the model: tables of listings and what is chosen from them."""

from __future__ import annotations

import json
from copy import replace
from typing import Any

import pytest

from classifier.bundles.bundle import (
    Part,
    Publication,
    Snapshot,
    Unsettled,
    choose,
    fingerprint,
    parse_publication,
    quiet_moments,
    state_at,
)
from classifier.errors import ModelError
from classifier.s3.listing import ObjectInfo

PREFIX = "models/dev/"
SETTLE_S = 10.0


def info(name: str, etag: str, modified: float, **more: Any) -> ObjectInfo:
    return replace(ObjectInfo(PREFIX + name, etag, 10, modified), **more)


def pinned(role: str, etag: str, written: float) -> Part:
    return Part(role, PREFIX + role, etag, 10, written, version_id="v1")  # type: ignore[arg-type]


def etags(chosen: object) -> dict[str, str]:
    assert isinstance(chosen, Snapshot), chosen
    return {part.role: part.etag for part in chosen.parts}


PUBLICATION = Publication((pinned("architecture", "A1", 100), pinned("weights", "W1", 100)), 100)
ONE = [info("architecture.json", "A1", 99), info("model.weights.h5", "W1", 99)]


def test_a_bundle_by_hand_counts_when_it_has_been_quiet_long_enough() -> None:
    assert etags(choose(ONE, None, 110, SETTLE_S)) == {"architecture": "A1", "weights": "W1"}


def test_a_bundle_just_swapped_waits_for_the_rest_of_the_quiet_time() -> None:
    assert choose(ONE, None, 109.5, SETTLE_S) == Unsettled(0.5)


def test_whole_seconds_never_make_the_quiet_time_shorter() -> None:
    """What was written at 99.99 s has 99 for its time, and an answer of 109.0 s came 9.01 s later."""
    assert choose(ONE, None, 109, SETTLE_S) == Unsettled(1)
    assert etags(choose(ONE, None, 99, 0)) == {"architecture": "A1", "weights": "W1"}


@pytest.mark.parametrize("missing", ["architecture.json", "model.weights.h5"])
def test_without_a_needed_object_there_is_no_bundle(missing: str) -> None:
    assert choose([item for item in ONE if not item.key.endswith(missing)], None, 1000, SETTLE_S) is None


def test_the_newer_of_two_weights_files_is_meant() -> None:
    both = [*ONE, info("weights.h5", "W2", 150)]
    assert etags(choose(both, None, 1000, SETTLE_S))["weights"] == "W2"
    assert etags(choose([*ONE, info("weights.h5", "W0", 50)], None, 1000, SETTLE_S))["weights"] == "W1"


def test_other_objects_under_the_prefix_do_not_matter() -> None:
    assert choose([*ONE, info("notes.txt", "N", 999)], None, 1000, SETTLE_S) == choose(ONE, None, 1000, SETTLE_S)


def test_a_published_bundle_counts_at_once_and_as_pinned() -> None:
    chosen = choose([*ONE, info("published.json", "P", 100)], PUBLICATION, 100, SETTLE_S)
    assert chosen == Snapshot(PUBLICATION.parts, 100)


def test_objects_overwritten_before_publishing_are_not_swaps() -> None:
    old = [info("architecture.json", "A0", 90), info("model.weights.h5", "W0", 90)]
    assert etags(choose(old, PUBLICATION, 1000, SETTLE_S)) == {"architecture": "A1", "weights": "W1"}


def test_a_swap_in_the_second_of_publishing_is_noticed() -> None:
    same_second = [info("architecture.json", "A1", 100), info("model.weights.h5", "W2", 100)]
    assert etags(choose(same_second, PUBLICATION, 1000, SETTLE_S)) == {"architecture": "A1", "weights": "W2"}


def test_a_swap_that_publishing_replaced_in_the_same_second_does_not_count() -> None:
    objects = [info("architecture.json", "A0", 100), info("model.weights.h5", "W2", 100)]
    seen = replace(PUBLICATION, replaced=frozenset({("architecture.json", "A0"), ("model.weights.h5", "W2")}))
    assert choose(objects, seen, 1000, SETTLE_S) == Snapshot(PUBLICATION.parts, 100)
    later = [*objects[:1], info("model.weights.h5", "W3", 100)]
    assert etags(choose(later, seen, 1000, SETTLE_S)) == {"architecture": "A1", "weights": "W3"}
    again = [*objects[:1], info("model.weights.h5", "W2", 101)]
    assert etags(choose(again, seen, 1000, SETTLE_S)) == {"architecture": "A1", "weights": "W2"}


def test_of_two_weights_files_of_one_second_the_one_that_came_after_publishing_counts() -> None:
    seen = replace(PUBLICATION, replaced=frozenset({("weights.h5", "W2")}))
    both = [info("model.weights.h5", "W3", 100), info("weights.h5", "W2", 100)]
    assert etags(choose(both, seen, 1000, SETTLE_S))["weights"] == "W3"


def test_a_swap_over_a_published_bundle_waits_until_it_is_quiet_then_wins() -> None:
    swapped = [info("architecture.json", "A1", 99), info("model.weights.h5", "W2", 200)]
    assert choose(swapped, PUBLICATION, 205, SETTLE_S) == Unsettled(6)
    assert etags(choose(swapped, PUBLICATION, 211, SETTLE_S)) == {"architecture": "A1", "weights": "W2"}


def test_deleting_a_published_object_changes_nothing() -> None:
    assert choose([], PUBLICATION, 1000, SETTLE_S) == Snapshot(PUBLICATION.parts, 100)


HISTORY = [  # newest first for each key
    info("architecture.json", "A3", 205, version_id="a3"),
    info("architecture.json", "A2", 150, version_id="a2"),
    info("architecture.json", "A1", 100, version_id="a1"),
    info("model.weights.h5", "", 207, version_id="d", deleted=True),
    info("model.weights.h5", "W2", 153, version_id="w2"),
    info("model.weights.h5", "W1", 100, version_id="w1"),
]


def test_quiet_moments_are_those_that_nothing_followed_for_the_settling_time() -> None:
    assert quiet_moments(HISTORY, SETTLE_S, now=210) == [153, 100]
    assert quiet_moments(HISTORY, SETTLE_S, now=217) == [153, 100]
    assert quiet_moments(HISTORY, SETTLE_S, now=218) == [207, 153, 100]
    assert quiet_moments([], SETTLE_S, now=217) == []


def test_publishing_makes_a_moment_count_at_once() -> None:
    assert quiet_moments([*HISTORY, info("published.json", "P", 208)], SETTLE_S, now=209) == [208, 153, 100]


def test_the_state_at_a_moment_has_the_versions_of_then() -> None:
    assert {item.version_id for item in state_at(HISTORY, 153)} == {"a2", "w2"}
    assert {item.version_id for item in state_at(HISTORY, 207)} == {"a3"}


def test_a_half_swapped_history_gives_the_last_whole_bundle() -> None:
    moment = quiet_moments(HISTORY, SETTLE_S, now=210)[0]
    assert etags(choose(state_at(HISTORY, moment), None, 210, 0)) == {"architecture": "A2", "weights": "W2"}


ENTRY = {"key": PREFIX + "x", "version_id": "v", "etag": '"e"', "size": 3, "sha256": "0" * 64}


def test_a_publication_pins_keys_and_versions() -> None:
    document = {"version": "1", "objects": {"architecture.json": ENTRY, "README.md": ENTRY}}
    publication = parse_publication(json.dumps(document).encode(), 5, PREFIX)
    part = Part("architecture", PREFIX + "x", "e", 3, 5, version_id="v", sha256="0" * 64)
    assert publication == Publication((part,), 5)
    named = parse_publication(json.dumps({**document, "replaced": {"weights.h5": "e"}}).encode(), 5, PREFIX)
    assert named == Publication((part,), 5, frozenset({("weights.h5", "e")}))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"[]",
        b'{"objects": []}',
        b'{"objects": {"architecture.json": {}}}',
        b'{"objects": {}, "replaced": []}',
        json.dumps({"objects": {"architecture.json": {**ENTRY, "key": "other/x"}}}).encode(),
        json.dumps({"objects": {"architecture.json": {**ENTRY, "key": PREFIX + "../x"}}}).encode(),
        json.dumps({"objects": {"architecture.json": {**ENTRY, "size": "many"}}}).encode(),
    ],
)
def test_a_malformed_publication_is_refused(broken: bytes) -> None:
    with pytest.raises(ModelError, match=r"published\.json"):
        parse_publication(broken, 5, PREFIX)


def test_the_fingerprint_depends_on_every_part_and_its_role_only() -> None:
    base = fingerprint({"architecture": "a", "weights": "b"})
    assert base == fingerprint({"weights": "b", "architecture": "a"})
    assert len({base, fingerprint({"architecture": "b", "weights": "a"}), fingerprint({"architecture": "a"})}) == 3
    assert len(base) == 16
