"""Bulk by the deployed function: S3's events through a real queue, and a Distributed Map that moto executes."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest

from classifier.bulk.job import BulkJob
from classifier.bulk.notices import Located, NoticeError, created_in
from classifier.errors import ModelLoadingError, RequestError, UnavailableError
from classifier.settings import Settings
from classifier.storage import ATTEMPTS
from local.event_bridge import bridge_event
from local.s3 import S3Request
from local.s3_changes import S3Change
from tests.bulk import environment, put_pictures, rows_of, serve_demo
from tests.conftest import Bucket
from tests.demo import SAMPLES

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
    from models.bulk.model import OneModel, open_version
    from models.place import find_place

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


@pytest.mark.tensorflow
def test_every_picture_that_s3_tells_of_has_one_row_however_often_it_is_told(bucket: Bucket, queue: Mapping) -> None:
    bucket.put("images/space plus+ünd.jpg", PICTURE)
    bucket.put("images//broken.jpg", b"no picture")
    bucket.put("images/folder/", b"")
    bucket.put("elsewhere/a.jpg", PICTURE)
    test_event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": bucket.name}
    queue.client.send_message(QueueUrl=queue.url, MessageBody=json.dumps(test_event))
    seen = queue.client.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10, VisibilityTimeout=0)["Messages"]
    for message in seen:  # delivered again, as other messages in another batch
        queue.client.send_message(QueueUrl=queue.url, MessageBody=message["Body"])
    assert queue.drain() >= 4
    assert (queue.waiting(queue.url), queue.waiting(queue.dead)) == (0, 0)
    rows = {row["key"]: code_of(row) for row in results(bucket)}
    assert len(results(bucket)) == 2
    assert rows == {"images/space plus+ünd.jpg": None, "images//broken.jpg": "unsupported_image_format"}


@pytest.mark.tensorflow
def test_only_messages_whose_pictures_may_pass_come_again(bucket: Bucket, queue: Mapping) -> None:
    bucket.put("images/fine.jpg", PICTURE)
    bucket.put("images/throttled.jpg", PICTURE)
    queue.client.send_message(QueueUrl=queue.url, MessageBody="what is this?")
    bucket.server.failing = lambda request: request.method == "GET" and "throttled" in request.path
    messages, failures = queue.poll()
    assert (messages, failures) == (4, 2)  # S3 sent a test event by itself
    assert [row["key"] for row in results(bucket)] == ["images/fine.jpg"]
    bucket.server.failing = None
    time.sleep(VISIBLE_S + 0.1)
    assert queue.poll() == (2, 1)
    assert sorted(row["key"] for row in results(bucket)) == ["images/fine.jpg", "images/throttled.jpg"]
    time.sleep(VISIBLE_S + 0.1)
    assert queue.poll() == (0, 0)
    assert (queue.waiting(queue.url), queue.waiting(queue.dead)) == (0, 1)


@pytest.mark.tensorflow
def test_a_row_that_can_not_be_written_brings_its_message_back(bucket: Bucket, job: BulkJob) -> None:
    bucket.put("images/a.jpg", PICTURE)
    bucket.put("images/b.jpg", PICTURE)
    bucket.server.failing = lambda request: request.method == "PUT" and "b.jpg" in request.path
    answer = job.queued([message(bucket, "images/a.jpg"), message(bucket, "images/b.jpg")], time.monotonic() + 30)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "images/b.jpg"}]}
    assert [row["key"] for row in results(bucket)] == ["images/a.jpg"]


@pytest.mark.tensorflow
def test_each_version_of_a_key_is_a_picture_of_its_own(bucket: Bucket, job: BulkJob) -> None:
    first = bucket.put("images/a.jpg", PICTURE)["VersionId"]
    second = bucket.put("images/a.jpg", b"no picture")["VersionId"]
    told = [message(bucket, "images/a.jpg", version) for version in (first, second, first)]
    told = [{**one, "messageId": str(number)} for number, one in enumerate(told)]
    assert job.queued(told, time.monotonic() + 30) == {"batchItemFailures": []}
    assert {row["version_id"]: code_of(row) for row in results(bucket)} == {
        first: None,
        second: "unsupported_image_format",
    }
    data = bucket.boto.get_object(Bucket=bucket.name, Key=f"results/images/a.jpg/{second}.jsonl")["Body"].read()
    assert rows_of(data)[0]["bucket"] == bucket.name


def message(bucket: Bucket, key: str, version: str = "") -> dict[str, str]:
    """As EventBridge puts it into the queue."""
    change = S3Change("ObjectCreated:Put", bucket.name, key, version_id=version, size=3, etag="0123")
    return {"messageId": key, "body": json.dumps(bridge_event(change))}


def test_while_no_model_is_there_everything_comes_again(bucket: Bucket) -> None:
    bucket.put("images/a.jpg", PICTURE)
    answer = job_of(bucket, NoModel()).queued([message(bucket, "images/a.jpg")], time.monotonic() + 30)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "images/a.jpg"}]}
    assert results(bucket) == []


def test_what_lies_outside_the_prefix_is_never_read(bucket: Bucket) -> None:
    bucket.put("private/a.jpg", PICTURE)
    bucket.server.requests.clear()
    answer = job_of(bucket, NoModel()).queued([message(bucket, "private/a.jpg")], time.monotonic() + 30)
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


@pytest.mark.tensorflow
def test_a_batch_of_a_list_is_one_object_however_often_it_is_tried(bucket: Bucket, job: BulkJob) -> None:
    expected = put_pictures(bucket, 12)
    listed = bucket.boto.list_objects_v2(Bucket=bucket.name, Prefix="images/")["Contents"]
    items = [{"Etag": item["ETag"], "Key": item["Key"], "Size": item["Size"]} for item in listed]
    event = {"BatchInput": {"run": "run-1"}, "Items": items}
    bucket.server.failing = lambda request: request.method == "GET" and "0003" in request.path
    with pytest.raises(UnavailableError, match="1 of 12 pictures"):
        job.run(event, time.monotonic() + 30)
    assert results(bucket) == []
    bucket.server.failing = None
    answers = [job.run(event, time.monotonic() + 30) for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0] | {"results": ""} == {"pictures": 12, "refused": 1, "results": ""}
    assert {row["key"]: code_of(row) for row in results(bucket)} == expected
    assert len(results(bucket)) == 12


def machine_of_the_template(bucket: Bucket) -> dict[str, Any]:
    """serverless.yml's definition with this bucket in it."""
    from local.launch import PROJECT

    text = (PROJECT / "serverless.yml").read_text()
    text = text.partition("DefinitionString: !Sub\n          - |\n")[2].partition("          - { bucket:")[0]
    for name, value in {
        "${param:bulkConcurrency}": "2",
        "${AWS::Partition}": "aws",
        "${bucket}": bucket.name,
        "${BulkLambdaFunction.Arn}": "arn:aws:lambda:us-east-1:123456789012:function:bulk",
    }.items():
        text = text.replace(name, value)
    assert "${" not in text
    machine: dict[str, Any] = json.loads(text)
    return machine


def without_batches(machine: dict[str, Any]) -> dict[str, Any]:
    """The machine for moto, which knows everything but ItemBatcher: each item is a batch of one, in a batch's form."""
    each = machine["States"]["EachBatch"]
    batcher = each.pop("ItemBatcher")
    assert batcher["MaxItemsPerBatch"] == 100
    each["ItemSelector"] = {
        "BatchInput": batcher["BatchInput"],
        "Items.$": "States.Array($$.Map.Item.Value)",
    }
    for retry in each["ItemProcessor"]["States"]["Classify"]["Retry"]:
        retry["IntervalSeconds"] = 1
    return machine


@pytest.mark.tensorflow
def test_the_state_machine_classifies_everything_under_the_prefix_and_tries_again_what_may_pass(
    bucket: Bucket, job: BulkJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.core.config import default_user_config

    states = "moto.stepfunctions.parser.asl.component.state.exec"
    clients_of = (
        f"{states}.state_map.item_reader.eval.resource_eval_s3",
        f"{states}.state_map.result_writer.resource_eval.resource_eval_s3",
        f"{states}.state_task.lambda_eval_utils",
    )

    calls: list[dict[str, Any]] = []

    class Lambda:
        """What needs Docker in moto: the function."""

        def invoke(self, *, Payload: bytes, **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's
            calls.append(json.loads(Payload))
            try:
                body: Any = job.run(calls[-1], time.monotonic() + 30)
            except UnavailableError as error:
                body = {"errorType": type(error).__name__, "errorMessage": str(error)}
                return {
                    "StatusCode": 200,
                    "FunctionError": "Unhandled",
                    "Payload": io.BytesIO(json.dumps(body).encode()),
                }
            return {"StatusCode": 200, "Payload": io.BytesIO(json.dumps(body).encode())}

    failures = list(range(ATTEMPTS))  # as often as one invocation asks for the picture

    def failing(request: S3Request) -> bool:
        if not failures or request.method != "GET" or "0005.jpg" not in request.path:
            return False
        failures.pop()
        return True

    bucket.server.failing = failing
    for module in clients_of:
        client_for = lambda service, **_: Lambda() if service == "lambda" else bucket.boto  # noqa: E731
        monkeypatch.setattr(import_module(module), "boto_client_for", client_for)
    monkeypatch.setitem(default_user_config, "stepfunctions", {"execute_state_machine": True})
    expected = put_pictures(bucket, 12)
    client = bucket.server.client("stepfunctions")
    definition = json.dumps(without_batches(machine_of_the_template(bucket)))
    role = "arn:aws:iam::123456789012:role/states"
    machine = client.create_state_machine(name=bucket.name, definition=definition, roleArn=role)["stateMachineArn"]
    run = client.start_execution(stateMachineArn=machine, name="run-1", input='{"prefix": "images/"}')["executionArn"]
    end = time.monotonic() + 60
    while (found := client.describe_execution(executionArn=run))["status"] == "RUNNING" and time.monotonic() < end:
        time.sleep(0.1)
    assert found["status"] == "SUCCEEDED", found
    assert len(calls) == 12 + 1
    rows = results(bucket, "results/lists/run-1/")
    assert len(rows) == 12
    assert {row["key"]: code_of(row) for row in rows} == expected
