"""A canary's life by the command line: begun, looked at, raised, promoted, aborted; and what other verbs make of it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from classifier.bundles.bundle import Snapshot
from lifecycle import prune, record, shares
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.release import put_release
from lifecycle.shares import Share
from tests.conftest import Bucket
from tests.support.stand_ins import compiled_is_whole, publish, quietly, release, served

LOG_GROUP = "/aws/lambda/keras-classifier-dev-classify"


def begin(place: Place, number: int, percent: int = 10, *, shadow: bool = False) -> str:
    """As `publish --canary` ends, without converting anything."""
    given = release(number)
    put_release(place, given, record.read_current(place), quietly, Share(percent, shadow))
    return given.version


def run(capsys: Any, *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def live_since(place: Place) -> float:
    newest = place.store().bundles.look(time.monotonic() + 30).newest
    assert isinstance(newest, Snapshot)
    return newest.updated


def canary(place: Place) -> tuple[str, int, bool] | None:
    """What a function would have as canary: its version, share, and whether it is a shadow."""
    found = place.store().bundles.look(time.monotonic() + 30).canary
    assert found is None or found.snapshot is not None, found
    return None if found is None else (found.version, found.percent, found.shadow)


def test_a_canary_begins_beside_what_serves_grows_and_ends_with_one_write(
    place: Place, bucket: Bucket, capsys: Any
) -> None:
    one = publish(place, 1).version
    number = live_since(place)
    two = begin(place, 2)
    assert (served(place), canary(place), compiled_is_whole(place, two)) == (one, (two, 10, False), True)
    assert run(capsys, "canary", "dev", "raise", "50")["changed"]
    assert canary(place) == (two, 50, False)
    for wrong in ("50", "10"):
        assert main(["canary", "dev", "raise", wrong]) == 2
    assert main(["canary", "dev", "abort", "--dry-run"]) == 0
    assert canary(place) == (two, 50, False)
    bucket.server.requests.clear()
    assert run(capsys, "canary", "dev", "abort")["canary"] == two
    written = [request.path for request in bucket.server.requests if request.method not in ("GET", "HEAD")]
    assert written == [f"/{bucket.name}/{place.prefix}published.json"]
    assert (served(place), canary(place)) == (one, None)
    assert live_since(place) == number, "and so TensorFlow Serving's number for it"
    assert main(["canary", "dev", "abort"]) == 3


def test_a_promoted_canary_serves_under_its_number_and_can_be_gone_back_from(place: Place, capsys: Any) -> None:
    one, two = publish(place, 1).version, begin(place, 2)
    plan = place.store().bundles.look(time.monotonic() + 30).canary
    told = run(capsys, "canary", "dev", "promote")
    assert (served(place), canary(place)) == (two, None)
    assert plan is not None
    assert plan.snapshot is not None
    assert live_since(place) == plan.snapshot.updated
    assert told["undo"].endswith(f"--to {one}")
    assert main(["rollback"]) == 0
    assert served(place) == one
    assert [row["version"] for row in run(capsys, "list")["versions"]] == [two, one]


def test_a_shadow_that_is_raised_answers(place: Place) -> None:
    publish(place, 1)
    two = begin(place, 2, 25, shadow=True)
    assert canary(place) == (two, 25, True)
    assert main(["canary", "dev", "raise", "5"]) == 0
    assert canary(place) == (two, 5, False)


def test_a_new_stable_model_keeps_the_canary_and_going_back_ends_it(place: Place) -> None:
    publish(place, 1)
    two, three = begin(place, 2), publish(place, 3).version
    assert (served(place), canary(place)) == (three, (two, 10, False))
    assert main(["rollback"]) == 0
    assert (served(place), canary(place)) == (release(1).version, None)
    begin(place, 2)
    assert publish(place, 2).version == two
    assert (served(place), canary(place)) == (two, None)


def test_promoting_from_a_stage_can_begin_a_canary_in_another(place: Place, bucket: Bucket, capsys: Any) -> None:
    prod = Place(bucket.name, "models/prod/", bucket.boto)
    one, two = publish(prod, 1).version, publish(place, 2).version
    told = run(capsys, "promote", "--from", "dev", "--to", "prod", "--canary", "20", "--shadow")
    assert told["canary"] == {"percent": 20, "shadow": True}
    assert (served(prod), canary(prod)) == (one, (two, 20, True))
    capsys.readouterr()
    assert main(["promote", "--from", "dev", "--to", "prod", "--canary", "5"]) == 3
    assert "is a canary" in capsys.readouterr().err
    assert run(capsys, "canary", "prod", "promote")["stable"] == one
    assert served(prod) == two


def test_a_canary_says_what_ends_it_and_the_next_such_one_waits_until_no_alarm_can_be_about_the_last(
    place: Place, bucket: Bucket, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prod = Place(bucket.name, "models/prod/", bucket.boto)
    publish(prod, 1)
    publish(place, 2)
    begun = ["promote", "--from", "dev", "--to", "prod", "--canary", "20", "--abort-on", "errors"]
    assert run(capsys, *begun)["canary"] == {"percent": 20, "shadow": False, "abort_on": ["errors"]}
    assert main(["canary", "prod", "raise", "50"]) == 0
    current = record.read_current(prod)
    assert current is not None
    assert (current.document["canary"]["percent"], current.document["canary"]["abort_on"]) == (50, ["errors"])
    empty = Path("/dev/null")
    told = run(capsys, "canary", "prod", "status", "--log", str(empty))
    assert told["abort_on"] == ["errors"]
    assert main(["canary", "prod", "abort"]) == 0
    capsys.readouterr()
    assert main(begun) == 3
    assert re.search(r"begin this one in (300|299|29\d) s, or without --abort-on", capsys.readouterr().err)
    assert main(begun[:-2]) == 0
    assert main(["canary", "prod", "promote"]) == 0
    promoted = record.read_current(prod)
    assert promoted is not None
    assert "abort_on" not in promoted.document
    monkeypatch.setattr(shares, "APART_S", 0)
    publish(place, 3)
    assert main(begun) == 0
    assert main([*begun[:-4], *begun[-2:]]) == 2, "--abort-on is about a canary"


def test_other_verbs_know_of_the_canary(place: Place, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = publish(place, 1).version, begin(place, 2)
    assert main(["canary", "dev", "raise", "30"]) == 0
    rows = run(capsys, "list")["versions"]
    assert [(row["version"], row.get("canary"), row["serves"]) for row in rows] == [
        (two, {"percent": 30, "shadow": False}, False),
        (one, None, True),
    ]
    assert main(["list"]) == 0
    assert "canary 30 %" in capsys.readouterr().out
    assert run(capsys, "show")["version"] == one
    assert main(["show"]) == 0
    assert f"Beside   {two}, canary 30 %" in capsys.readouterr().out
    assert run(capsys, "show", "--version", two[:6])["labels"] == 1
    difference = run(capsys, "diff")
    assert (difference["old"], difference["new"]) == (one, two)
    assert main(["rollback", "--to", two]) == 2
    monkeypatch.setattr(prune, "FRESH_S", 0.0)
    for number in (3, 4, 5):
        publish(place, number)
    assert main(["prune", "--keep", "1", "--yes"]) == 0
    assert (canary(place), compiled_is_whole(place, two)) == ((two, 30, False), True)
    assert main(["canary", "dev", "promote"]) == 0
    assert served(place) == two


def test_there_is_no_canary_beside_nothing_or_beside_what_was_copied_by_hand(
    place: Place, bucket: Bucket, capsys: Any
) -> None:
    (elsewhere := Place(bucket.name, "models/prod/", bucket.boto)) and publish(elsewhere, 9)
    asked = ["promote", "--from", "prod", "--to", "dev", "--canary", "10"]
    assert main(asked) == 3
    assert "nothing is published" in capsys.readouterr().err
    publish(place, 1)
    begin(place, 2)
    time.sleep(1.1)  # S3's times are whole seconds
    for name, data in release(3).files.items():
        bucket.put(place.prefix + name, data)
    assert (served(place), canary(place)) == (release(3).version, None)
    capsys.readouterr()
    assert main(["canary", "dev", "status"]) == 3
    assert "swapped by hand has ended it" in capsys.readouterr().err
    assert main(asked) == 3
    assert "swapped by hand: publish it first" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["raise"], ["status", "5"], ["abort", "--abort-on", "errors"]])
def test_what_makes_no_sense_is_wrong_usage(place: Place, wrong: list[str]) -> None:
    publish(place, 1)
    begin(place, 2)
    assert main(["canary", "dev", *wrong]) == 2


def test_a_share_is_a_whole_number_of_percent() -> None:
    assert (shares.percentage("10"), shares.percentage("100%")) == (10, 100)
    for wrong in ("0", "101", "0.5", "-1", "ten"):
        with pytest.raises(Exception, match="whole number of percent"):
            shares.percentage(wrong)


def log(place: Place, canary_errors: int) -> list[str]:
    """A function's log, among other lines, of both models."""
    current = record.read_current(place)
    assert current is not None
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 60)) + ".000Z"
    common = {"level": "info", "message": "request", "time": at, "ms": 9.0, "label": "hat"}
    lines = [json.dumps({**common, "role": "stable", "status": 200, "version": current.version})] * 900
    lines += [json.dumps({**common, "role": "canary", "status": 200, "version": release(2).version})] * 600
    lines += [json.dumps({**common, "role": "canary", "status": 500})] * canary_errors
    old = json.dumps({**common, "role": "canary", "status": 500, "time": "2020-01-01T00:00:00.000Z"})
    return [*lines, old, "START RequestId: 1", '{"message": "request"}', "{broken", '2026-11-29 {"role": "canary"}']


def test_status_reads_a_file_and_says_whether_it_is_enough(place: Place, tmp_path: Any, capsys: Any) -> None:
    publish(place, 1)
    two, file = begin(place, 2), tmp_path / "log"
    file.write_text("\n".join(log(place, 0)))
    told = run(capsys, "canary", "dev", "status", "--log", str(file))
    assert (told["stable"]["requests"], told["canary"]["requests"], told["worse"], told["enough"]) == (
        900,
        600,
        [],
        True,
    )
    file.write_text("\n".join(log(place, 30)))
    assert run(capsys, "canary", "dev", "status", "--log", str(file), code=1)["worse"] == ["errors"]
    assert main(["canary", "dev", "status", "--log", str(file)]) == 1
    assert "worse by errors: abort it" in capsys.readouterr().out
    assert canary(place) == (two, 10, False), "status changes nothing"


@pytest.mark.parametrize(("errors", "code", "left"), [(60, 1, None), (0, 0, 10)])
def test_watching_cloudwatchs_log_aborts_what_is_worse(
    place: Place, bucket: Bucket, capsys: Any, errors: int, code: int, left: int | None
) -> None:
    import boto3

    publish(place, 1)
    begin(place, 2)
    logs = boto3.client("logs", endpoint_url=bucket.endpoint_url)
    group = f"{LOG_GROUP}-{bucket.name}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    at = int(time.time() * 1000) + 2000  # S3's times are whole seconds
    events = [{"timestamp": at, "message": line} for line in log(place, errors)]
    logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=events)
    asked = ["canary", "dev", "watch", "--abort-on", "errors", "--log-group", group, "--for", "0"]
    told = run(capsys, *asked, code=code)
    assert told["canary"]["requests"] == 600 + errors
    assert (canary(place) or (None, None))[1] == left


def test_a_log_group_that_is_not_there_is_one_sentence(place: Place, capsys: Any) -> None:
    publish(place, 1)
    begin(place, 2)
    assert main(["canary", "dev", "status"]) == 3
    assert LOG_GROUP in capsys.readouterr().err
