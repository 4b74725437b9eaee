"""Going back: to what, how far, how often, and what it writes."""

from __future__ import annotations

import json
import time
from typing import Any

from lifecycle.command import main
from lifecycle.place import Place
from tests.conftest import PLACE_PREFIX, Bucket
from tests.support.stand_ins import compiled_is_whole, publish, served


def test_nothing_is_ever_written_where_a_swap_by_hand_would_count(place: Place, bucket: Bucket) -> None:
    publish(place, 1)
    publish(place, 2)
    listed = bucket.boto.list_objects_v2(Bucket=bucket.name, Prefix=PLACE_PREFIX, Delimiter="/")
    assert [item["Key"] for item in listed["Contents"]] == [f"{PLACE_PREFIX}published.json"]


def test_a_rollback_goes_one_back_each_time_and_says_how_to_undo_it(place: Place, capsys: Any) -> None:
    first, second, third = (publish(place, number).version for number in (1, 2, 3))
    assert main(["rollback"]) == 0
    assert served(place) == second
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"rollback {place.url} --to {third}")
    assert main(["rollback"]) == 0
    assert served(place) == first
    assert main(["rollback"]) == 3
    assert served(place) == first
    assert main(["rollback", "--to", third[:6]]) == 0
    assert served(place) == third
    assert compiled_is_whole(place, third)


def test_what_was_rolled_back_from_is_not_gone_back_to(place: Place) -> None:
    first = publish(place, 1).version
    publish(place, 2)
    assert main(["rollback"]) == 0
    publish(place, 3)
    assert main(["rollback"]) == 0
    assert served(place) == first


def test_a_rollback_from_a_swap_by_hand_goes_to_what_is_published(place: Place, bucket: Bucket) -> None:
    published = publish(place, 1).version
    time.sleep(1)  # S3's clock has whole seconds
    bucket.put(f"{PLACE_PREFIX}model.weights.h5", b"by hand")
    assert served(place) != published
    time.sleep(1)
    assert main(["rollback", place.url]) == 0
    assert served(place) == published


def test_a_rollback_writes_nothing_but_published_json(place: Place, bucket: Bucket) -> None:
    publish(place, 1)
    publish(place, 2)
    bucket.server.requests.clear()
    assert main(["rollback"]) == 0
    changed = [request.path for request in bucket.server.requests if request.method not in ("GET", "HEAD")]
    assert changed == [f"/{bucket.name}/{PLACE_PREFIX}published.json"]


def test_a_dry_run_of_a_rollback_writes_nothing(place: Place, bucket: Bucket) -> None:
    publish(place, 1)
    publish(place, 2)
    bucket.server.requests.clear()
    assert main(["rollback", "--dry-run"]) == 0
    assert {request.method for request in bucket.server.requests} <= {"GET", "HEAD"}


def test_a_version_whose_objects_are_gone_is_passed_over(place: Place, bucket: Bucket, capsys: Any) -> None:
    first, lost, _ = (publish(place, number) for number in (1, 2, 3))
    entry = lost.objects["model.weights.h5"]
    bucket.boto.delete_object(Bucket=bucket.name, Key=entry["key"], VersionId=entry["version_id"])
    assert main(["rollback", "--to", lost.version]) == 3
    assert main(["rollback"]) == 0
    assert served(place) == first.version
    capsys.readouterr()
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(row["version"], row["serves"], row["whole"]) for row in listed["versions"]][1:] == [
        (lost.version, False, False),
        (first.version, True, True),
    ]
