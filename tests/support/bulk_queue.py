"""The function's bulk work behind a real queue that S3 tells of every picture, and the rows that it leaves."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from classifier.bulk.job import BulkJob
from classifier.errors import ModelLoadingError
from classifier.settings import Settings
from local.event_bridge import bridge_event
from local.s3_changes import S3Change
from tests.conftest import Bucket
from tests.support.bulk import environment, rows_of, serve_demo
from tests.support.demo import SAMPLES

PICTURE = SAMPLES[0].read_bytes()
VISIBLE_S = 1


@dataclass(frozen=True, slots=True)
class Mapping:
    """A queue with its dead letters, and what an event source mapping does with them."""

    client: Any
    url: str
    dead: str
    job: BulkJob

    def poll(self) -> tuple[int, int]:
        """Hand one batch to the function and delete what it does not report: (messages, failures)."""
        messages = self.client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages", [])
        event = {"Records": [{"messageId": one["MessageId"], "body": one["Body"]} for one in messages]}
        answer = self.job.run(event, time.monotonic() + 60)
        failed = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
        for one in messages:
            if one["MessageId"] not in failed:
                self.client.delete_message(QueueUrl=self.url, ReceiptHandle=one["ReceiptHandle"])
        return len(messages), len(failed)

    def drain(self) -> int:
        """Poll until nothing comes; the number of messages that came, again and again."""
        total = 0
        while (found := self.poll())[0]:
            total += found[0]
        return total

    def waiting(self, url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


class NoModel:
    """A model that is still loading."""

    def look_ahead(self) -> None:
        """Nothing."""

    def acquire(self, deadline: float) -> Any:  # noqa: ARG002
        raise ModelLoadingError("not yet")


def job_of(bucket: Bucket, models: Any, **more: str) -> BulkJob:
    environ = {**environment(bucket), **more}
    return BulkJob.from_settings(models, bucket.s3, Settings.from_env(environ), environ)


@pytest.fixture
def job(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> BulkJob:
    """The function's work, with the demo model compiled."""
    from lifecycle.bulk.model import OneModel, open_version
    from lifecycle.place import find_place

    for name, value in environment(bucket).items():
        monkeypatch.setenv(name, value)
    serve_demo(bucket)
    return job_of(bucket, OneModel(open_version(find_place("dev"), None)))


@pytest.fixture
def queue(bucket: Bucket, job: BulkJob) -> Iterator[Mapping]:
    """A queue that S3 tells of every object under images/, with what serverless.yml says of tries."""
    client = bucket.server.client("sqs")
    dead = client.create_queue(QueueName=f"{bucket.name}-dead")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    attributes = {"RedrivePolicy": redrive, "VisibilityTimeout": str(VISIBLE_S)}
    url = client.create_queue(QueueName=bucket.name, Attributes=attributes)["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rules = [{"Name": "prefix", "Value": "images/"}]
    to_queue = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}
    bucket.boto.put_bucket_notification_configuration(
        Bucket=bucket.name, NotificationConfiguration={"QueueConfigurations": [to_queue]}
    )
    yield Mapping(client, url, dead, job)
    for one in (url, dead):
        client.delete_queue(QueueUrl=one)


def results(bucket: Bucket, prefix: str = "results/") -> list[dict[str, Any]]:
    """Every row that lies under the prefix."""
    found = bucket.boto.list_objects_v2(Bucket=bucket.name, Prefix=prefix).get("Contents", [])
    objects = (bucket.boto.get_object(Bucket=bucket.name, Key=item["Key"])["Body"].read() for item in found)
    return [row for data in objects for row in rows_of(data)]


def code_of(row: dict[str, Any]) -> str | None:
    code: str | None = row.get("error", {}).get("code")
    return code


def queued_message(bucket: Bucket, key: str, version: str = "") -> dict[str, str]:
    """As EventBridge puts it into the queue."""
    change = S3Change("ObjectCreated:Put", bucket.name, key, version_id=version, size=3, etag="0123")
    return {"messageId": key, "body": json.dumps(bridge_event(change))}
