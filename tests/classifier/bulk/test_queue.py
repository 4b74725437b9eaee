"""Bulk by the deployed function: S3's events through a real queue, and a Distributed Map that moto executes."""

from __future__ import annotations

import io
import json
import time
from importlib import import_module
from typing import Any

import pytest

from classifier.bulk.job import BulkJob
from classifier.errors import UnavailableError
from classifier.s3.exchange import ATTEMPTS
from local.s3 import S3Request
from tests.conftest import Bucket
from tests.support.bulk import put_pictures, rows_of
from tests.support.bulk_queue import PICTURE, VISIBLE_S, Mapping, code_of, queued_message, results
from tests.support.bulk_queue import job as job
from tests.support.bulk_queue import queue as queue


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
    answer = job.queued(
        [queued_message(bucket, "images/a.jpg"), queued_message(bucket, "images/b.jpg")], time.monotonic() + 30
    )
    assert answer == {"batchItemFailures": [{"itemIdentifier": "images/b.jpg"}]}
    assert [row["key"] for row in results(bucket)] == ["images/a.jpg"]


@pytest.mark.tensorflow
def test_each_version_of_a_key_is_a_picture_of_its_own(bucket: Bucket, job: BulkJob) -> None:
    first = bucket.put("images/a.jpg", PICTURE)["VersionId"]
    second = bucket.put("images/a.jpg", b"no picture")["VersionId"]
    told = [queued_message(bucket, "images/a.jpg", version) for version in (first, second, first)]
    told = [{**one, "messageId": str(number)} for number, one in enumerate(told)]
    assert job.queued(told, time.monotonic() + 30) == {"batchItemFailures": []}
    assert {row["version_id"]: code_of(row) for row in results(bucket)} == {
        first: None,
        second: "unsupported_image_format",
    }
    data = bucket.boto.get_object(Bucket=bucket.name, Key=f"results/images/a.jpg/{second}.jsonl")["Body"].read()
    assert rows_of(data)[0]["bucket"] == bucket.name


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
