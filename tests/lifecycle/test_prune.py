"""Pruning: old versions go, whole; what serves, what may be gone back to and what is new or foreign stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lifecycle import prune, record
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.release import usable_report
from tests.conftest import PLACE_PREFIX, Bucket
from tests.support.stand_ins import compiled_is_whole, publish, release, served


@pytest.fixture(autouse=True)
def _nothing_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "FRESH_S", 0.0)


def stored(bucket: Bucket, version: str) -> int:
    """How many objects of the version S3 has, deleted ones too."""
    found = bucket.boto.list_object_versions(Bucket=bucket.name, Prefix=PLACE_PREFIX)
    items = [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
    return sum(f"/{version}/" in item["Key"] for item in items)


def test_old_versions_are_deleted_and_the_kept_ones_can_be_gone_back_to(
    place: Place, bucket: Bucket, capsys: Any
) -> None:
    versions = [publish(place, number).version for number in range(1, 6)]
    bucket.boto.delete_object(Bucket=bucket.name, Key=f"{PLACE_PREFIX}versions/{versions[0]}/serving.json")
    capsys.readouterr()
    assert main(["prune", "--keep", "2", "--yes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (sorted(told["versions"]), told["kept"]) == (sorted(versions[:3]), sorted(versions[3:]))
    assert told["why"] == {versions[4]: "serves", versions[3]: "one of the 2 that served last (--keep)"}
    assert [stored(bucket, version) for version in versions] == [0, 0, 0, 5, 5]
    assert served(place) == versions[4]
    assert main(["rollback"]) == 0
    assert served(place) == versions[3]
    assert compiled_is_whole(place, versions[3])
    assert main(["rollback"]) == 3
    assert main(["rollback", "--to", versions[0]]) == 3
    assert served(place) == versions[3]


@pytest.mark.parametrize("asked", [[], ["--dry-run"], ["--yes", "--dry-run"]])
def test_without_yes_nothing_is_deleted(place: Place, bucket: Bucket, capsys: Any, asked: list[str]) -> None:
    versions = [publish(place, number).version for number in (1, 2)]
    bucket.server.requests.clear()
    assert main(["prune", "--keep", "1", *asked]) == 0
    assert {request.method for request in bucket.server.requests} == {"GET"}
    told = capsys.readouterr().out
    assert f"Would delete  {versions[0]}" in told
    assert "Nothing was deleted: --yes" in told


def test_what_serves_after_a_rollback_is_kept_however_old_it_is(place: Place, bucket: Bucket) -> None:
    first, *others = (publish(place, number).version for number in (1, 2, 3))
    assert main(["rollback", "--to", first]) == 0
    assert main(["prune", "--keep", "1", "--yes"]) == 0
    assert served(place) == first
    assert compiled_is_whole(place, first)
    assert [stored(bucket, version) for version in others] == [0, 0]


def test_a_swap_by_hand_and_its_compiled_form_stay_and_so_does_what_it_stands_on(
    place: Place, bucket: Bucket, capsys: Any
) -> None:
    old, current = (publish(place, number).version for number in (1, 2))
    bucket.put(f"{PLACE_PREFIX}compiled/{'a' * 16}/report.json", b"of a swap by hand, made once")
    bucket.put(f"{PLACE_PREFIX}compiled/README", b"not ours")
    bucket.put(f"{PLACE_PREFIX}cats/versions/{old}/architecture.json", b"another model's")
    bucket.put(f"{PLACE_PREFIX}labels.txt", b"by hand")
    before = served(place)
    capsys.readouterr()
    assert main(["prune", "--keep", "1", "--yes"]) == 0
    told = capsys.readouterr().out
    assert f"Keeps    {current}: published, under a swap by hand" in told
    assert f"Keeps    {'a' * 16}: never published: compiled for objects that were swapped in by hand" in told
    assert served(place) == before
    assert stored(bucket, current) == 5
    assert stored(bucket, old) == 1  # cats' own
    assert stored(bucket, "a" * 16) == 1


def test_what_is_new_may_be_somebodys_who_is_publishing(
    place: Place, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    versions = [publish(place, number).version for number in (1, 2)]
    monkeypatch.setattr(prune, "FRESH_S", 60.0)
    capsys.readouterr()
    assert main(["prune", "--keep", "1", "--yes"]) == 0
    assert f"Keeps    {versions[0]}: an object of it was written to within a day" in capsys.readouterr().out
    assert [stored(bucket, version) for version in versions] == [5, 5]


def test_what_was_left_of_a_publication_that_died_is_deleted(place: Place, bucket: Bucket) -> None:
    publish(place, 1)
    left = release(2).version
    bucket.put(f"{PLACE_PREFIX}versions/{left}/architecture.json", b"half")
    assert main(["prune", "--yes"]) == 0
    assert stored(bucket, left) == 0


def test_pruning_ends_when_somebody_publishes_or_goes_back_meanwhile(
    place: Place, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = (publish(place, number).version for number in (1, 2, 3))
    true_stored = prune._stored

    def going_back(asked: Place, version: str) -> Any:
        if version:
            assert main(["rollback", "--to", version]) == 0
        return true_stored(asked, version)

    monkeypatch.setattr(prune, "_stored", going_back)
    assert main(["prune", "--keep", "1", "--yes"]) == 3
    assert "somebody changed what is published" in capsys.readouterr().err
    assert served(place) in (first, second)
    assert usable_report(place, served(place)) is not None


def test_going_back_to_what_is_being_deleted_ends_with_what_served(
    place: Place, bucket: Bucket, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (publish(place, number) for number in (1, 2))
    true_write = record.write

    def deleted_first(*arguments: Any) -> record.Record:
        for entry in first.objects.values():
            bucket.boto.delete_object(Bucket=bucket.name, Key=entry["key"], VersionId=entry["version_id"])
        return true_write(*arguments)

    monkeypatch.setattr(record, "write", deleted_first)
    assert main(["rollback"]) == 3
    assert "was deleted meanwhile" in capsys.readouterr().err
    assert served(place) == second.version


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("asked", [["--keep", "0"], ["--keep", "-1"], ["no place!"]])
def test_what_can_not_be_pruned_is_wrong_usage(asked: list[str]) -> None:
    assert main(["prune", "--yes", *asked]) == 2
