"""An alarm of CloudWatch ends a canary that says so: one small write, by a function that may write nothing else."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

import handler
from classifier.errors import ModelError, StorageUnavailableError
from lifecycle import record, shares
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.release import put_release
from lifecycle.shares import Share
from local.template import read_template
from tests.conftest import Bucket
from tests.support.stand_ins import publish, quietly, release, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.s3 import S3Request

GUARDED = Share(10, abort_on=("errors",))
LATER = 5.0
"""Seconds after now at which an alarm goes off: a canary begins in the second after what serves."""


class Context:
    """Lambda's, as far as it is used."""

    aws_request_id = "alarm"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def event(state: str = "ALARM", at: float | None = None) -> dict[str, Any]:
    """As AWS documents it for an alarm on an expression.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
    """
    moment = time.gmtime(time.time() + LATER if at is None else at)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.490+0000", moment)
    return {
        "source": "aws.cloudwatch",
        "alarmArn": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:keras-classifier-dev-CanaryAlarm-1",
        "accountId": "123456789012",
        "time": stamp,
        "region": "us-east-1",
        "alarmData": {
            "alarmName": "keras-classifier-dev-CanaryAlarm-1",
            "state": {"value": state, "reason": "Threshold Crossed: ...", "timestamp": stamp},
            "previousState": {"value": "OK", "reason": "...", "timestamp": stamp},
            "configuration": {
                "description": "The canary fails much more often than the stable model, and ends if it says so",
                "metrics": [{"id": "worse", "expression": "IF(...)", "label": "worse", "returnData": True}],
            },
        },
    }


@pytest.fixture(autouse=True)
def _fresh(place: Place) -> Iterator[None]:  # noqa: ARG001 - the environment that the function reads
    handler._canary_alarm.cache_clear()
    yield
    handler._canary_alarm.cache_clear()


def end(given: dict[str, Any]) -> list[dict[str, Any]]:
    """What the deployed function would say."""
    return handler.end_canary(given, Context())


def begin(place: Place, number: int, share: Share = GUARDED) -> str:
    given = release(number)
    put_release(place, given, record.read_current(place), quietly, share)
    return given.version


def canary(place: Place) -> str | None:
    found = place.store().bundles.look(time.monotonic() + 30).canary
    return None if found is None else found.version


def writes(bucket: Bucket) -> list[str]:
    return [one.path.rpartition("/")[2] for one in bucket.server.requests if one.method not in ("GET", "HEAD")]


def test_an_alarm_ends_the_canary_by_one_write_and_a_second_one_finds_nothing_to_do(
    place: Place, bucket: Bucket, capsys: Any
) -> None:
    stable, version = publish(place, 1).version, begin(place, 2)
    before = record.read_current(place)
    assert before is not None
    bucket.server.requests.clear()
    assert end(event()) == [{"canary": version, "ended": True, "stable": stable}]
    assert writes(bucket) == ["published.json"]
    assert (served(place), canary(place)) == (stable, None)
    after = record.read_current(place)
    assert after is not None
    assert after.document == {**shares.ended(before), "replaced": {}}, "as `canary abort` writes it"
    (line,) = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert (line["level"], line["message"], line["canary"], line["ended"]) == ("warning", "alarm", version, True)
    bucket.server.requests.clear()
    assert end(event()) == []
    assert writes(bucket) == []


@pytest.mark.parametrize(
    ("share", "given", "why"),
    [
        (Share(10), event(), "it does not say abort_on"),
        (GUARDED, event(at=time.time() - 60), "it began after the alarm"),
        (GUARDED, event("OK"), None),
    ],
)
def test_a_canary_that_does_not_ask_for_it_or_began_later_is_left_alone(
    place: Place, share: Share, given: dict[str, Any], why: str | None
) -> None:
    publish(place, 1)
    version = begin(place, 2, share)
    assert end(given) == ([{"canary": version, "ended": False, "why": why}] if why else [])
    assert canary(place) == version


def test_each_named_model_has_its_canary_ended_and_one_that_cannot_be_read_is_left_out(
    place: Place, bucket: Bucket
) -> None:
    named = Place(bucket.name, f"{place.prefix}cats/", bucket.boto)
    for one in (place, named):
        publish(one, 1)
    version = begin(named, 2)
    bucket.put(f"{place.prefix}dogs/published.json", b'{"canary": ')
    bucket.put(f"{place.prefix}versions/0a/published.json", b"no model's: versions/ is no name with one folder")
    (told,) = end(event())
    assert (told["model"], told["canary"], told["ended"]) == ("cats", version, True)
    assert canary(named) is None


def test_what_is_published_meanwhile_is_read_anew_and_decided_about_anew(
    place: Place, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(place, 1)
    first = begin(place, 2)
    store = handler._canary_alarm().store
    look, done = type(store.bundles).look, list[str]()

    def meanwhile(reader: Any, deadline: float) -> Any:
        found = look(reader, deadline)
        if not done:  # between what the function has read and what it writes
            done.append("")
            assert main(["canary", "dev", "abort"]) == 0
            done.append(begin(place, 3, Share(20)))
        return found

    monkeypatch.setattr(type(store.bundles), "look", meanwhile)
    (told,) = end(event())
    assert done[1] != first
    assert (told["canary"], told["ended"]) == (done[1], False)
    assert canary(place) == done[1]
    assert bucket.server.requests


def test_a_model_that_was_copied_by_hand_goes_on_serving(place: Place, bucket: Bucket) -> None:
    publish(place, 1)
    begin(place, 2)
    time.sleep(1.1)  # S3's times are whole seconds
    for name, data in release(3).files.items():
        bucket.put(place.prefix + name, data)
    (told,) = end(event())
    assert not told["ended"]
    assert served(place) == release(3).version


def test_s3_that_fails_is_asked_again_by_lambda_and_then_the_canary_ends_once(place: Place, bucket: Bucket) -> None:
    publish(place, 1)
    version = begin(place, 2)

    def failing(request: S3Request) -> bool:
        return request.method == "PUT"

    for broken in (failing, lambda _: True):
        bucket.server.failing = broken
        with pytest.raises(StorageUnavailableError):
            end(event())
    bucket.server.failing = None
    assert canary(place) == version
    assert end(event())[0]["ended"]
    assert canary(place) is None


@pytest.mark.parametrize("wrong", [{}, {"Records": []}, event() | {"alarmData": {"alarmName": "a", "state": {}}}])
def test_an_event_of_another_kind_is_refused(place: Place, wrong: dict[str, Any]) -> None:
    publish(place, 1)
    version = begin(place, 2)
    with pytest.raises(ModelError, match="the event"):
        end(wrong)
    assert canary(place) == version


def test_the_template_names_this_function() -> None:
    assert [one.handler for one in read_template().functions if one.name.endswith("-abort")] == ["handler.end_canary"]
