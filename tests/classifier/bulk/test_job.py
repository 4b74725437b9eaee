"""Bulk by the deployed function: which events it reads, what it refuses, and what comes again."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from classifier.bulk.notices import Located, NoticeError, created_in
from classifier.errors import RequestError
from tests.conftest import Bucket
from tests.support.bulk_queue import PICTURE, NoModel, code_of, job_of, queued_message, results
from tests.support.bulk_queue import job as job


def test_while_no_model_is_there_everything_comes_again(bucket: Bucket) -> None:
    bucket.put("images/a.jpg", PICTURE)
    answer = job_of(bucket, NoModel()).queued([queued_message(bucket, "images/a.jpg")], time.monotonic() + 30)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "images/a.jpg"}]}
    assert results(bucket) == []


def test_what_lies_outside_the_prefix_is_never_read(bucket: Bucket) -> None:
    bucket.put("private/a.jpg", PICTURE)
    bucket.server.requests.clear()
    answer = job_of(bucket, NoModel()).queued([queued_message(bucket, "private/a.jpg")], time.monotonic() + 30)
    assert answer == {"batchItemFailures": []}
    assert [request.method for request in bucket.server.requests] == ["PUT"]
    assert [code_of(row) for row in results(bucket)] == ["invalid_s3_key"]


def test_results_can_not_lie_among_the_pictures(bucket: Bucket) -> None:
    with pytest.raises(ValueError, match="RESULTS_PREFIX"):
        job_of(bucket, NoModel(), RESULTS_PREFIX="images/results/")


def test_a_key_that_leaves_no_room_for_its_result_is_named_by_its_digest(bucket: Bucket) -> None:
    job = job_of(bucket, NoModel())
    long = Located(bucket.name, "images/" + "k" * 1010, "v", "e")
    assert len(job.key_of(long)) < 100
    assert job.key_of(long) != job.key_of(Located(bucket.name, "images/" + "l" * 1010, "v", "e"))


OWN = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": "a+b%2B.jpg", "eTag": "e"}}}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"Records": [OWN]}, (Located("b", "a b+.jpg", None, "e"),)),
        ({"Records": [OWN | {"eventName": "ObjectRemoved:Delete"}]}, ()),
        ({"Event": "s3:TestEvent"}, ()),
        ({"detail-type": "Object Deleted", "detail": {}}, ()),
        (
            {
                "detail-type": "Object Created",
                "detail": {"bucket": {"name": "b"}, "object": {"key": "a+b", "etag": "e"}},
            },
            (Located("b", "a+b", None, "e"),),
        ),
    ],
)
def test_both_forms_of_s3s_events_are_read(body: dict[str, Any], found: tuple[Located, ...]) -> None:
    assert created_in(json.dumps(body)) == found


@pytest.mark.parametrize("body", ["", "[]", "1", "null", '{"Records": 1}', '{"Records": [{}]}', "{}"])
def test_what_is_no_event_is_said_to_be_none(body: str) -> None:
    with pytest.raises(NoticeError):
        created_in(body)


@pytest.mark.parametrize("event", [{}, {"Items": [], "BatchInput": {"run": "../a"}}, {"Items": []}])
def test_an_event_of_neither_kind_is_refused(bucket: Bucket, event: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        job_of(bucket, NoModel()).run(event, time.monotonic() + 30)
