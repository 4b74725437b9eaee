"""The local S3: kept over a stop, failing on demand, and telling functions what was created and removed."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import pytest
from boto3.s3.transfer import TransferConfig

from local.cloud import Config, LocalLambda
from local.function import Function
from local.launch import PROJECT, Code
from local.s3 import LocalS3
from local.s3_changes import S3Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.s3_changes import S3Change
    from tests.conftest import Bucket

    StartCloud = Callable[[Config], LocalLambda]

HANDLERS = PROJECT / "tests" / "support" / "handlers"


def test_objects_are_kept_over_a_stop() -> None:
    server = LocalS3()
    server.start()
    client, name = server.client(), server.create_bucket("kept-over-a-stop")
    client.put_object(Bucket=name, Key="a b+c.txt", Body=b"1")
    server.stop()
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        client.get_object(Bucket=name, Key="a b+c.txt")
    server.start()
    assert client.get_object(Bucket=name, Key="a b+c.txt")["Body"].read() == b"1"
    server.stop()


def test_requests_are_on_record_and_fail_on_demand(bucket: Bucket) -> None:
    bucket.put("a b+c.txt", b"1")
    bucket.server.failing = lambda request: request.method == "GET"
    with pytest.raises(botocore.exceptions.ClientError, match="SlowDown"):
        bucket.boto.get_object(Bucket=bucket.name, Key="a b+c.txt")
    assert [(request.method, request.path) for request in bucket.server.requests] == [
        ("PUT", f"/{bucket.name}/a%20b%2Bc.txt"),
        ("GET", f"/{bucket.name}/a%20b%2Bc.txt"),
        ("GET", f"/{bucket.name}/a%20b%2Bc.txt"),
    ]


def test_every_way_to_create_or_remove_an_object_is_noticed(bucket: Bucket) -> None:
    seen: list[S3Change] = []
    bucket.server.listeners.append(seen.append)
    try:
        put = bucket.put("a b+c.txt", b"12345")
        source = {"Bucket": bucket.name, "Key": "a b+c.txt"}
        copy = bucket.boto.copy_object(Bucket=bucket.name, Key="copy", CopySource=source)
        bucket.boto.put_object_tagging(Bucket=bucket.name, Key="copy", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
        config = TransferConfig(multipart_threshold=5 << 20)
        bucket.boto.upload_fileobj(io.BytesIO(b"x" * (9 << 20)), bucket.name, "large", Config=config)
        bucket.boto.get_object(Bucket=bucket.name, Key="copy")
        marker = bucket.boto.delete_object(Bucket=bucket.name, Key="copy")
        bucket.boto.delete_object(Bucket=bucket.name, Key="copy", VersionId=marker["VersionId"])
        bucket.boto.delete_objects(Bucket=bucket.name, Delete={"Objects": [{"Key": "large"}, {"Key": "a b+c.txt"}]})
    finally:
        bucket.server.listeners.remove(seen.append)
    assert [(one.name, one.key, one.size) for one in seen] == [
        ("ObjectCreated:Put", "a b+c.txt", 5),
        ("ObjectCreated:Copy", "copy", 5),
        ("ObjectCreated:CompleteMultipartUpload", "large", 9 << 20),
        ("ObjectRemoved:DeleteMarkerCreated", "copy", None),
        ("ObjectRemoved:Delete", "copy", None),
        ("ObjectRemoved:DeleteMarkerCreated", "large", None),
        ("ObjectRemoved:DeleteMarkerCreated", "a b+c.txt", None),
    ]
    assert [one.version_id for one in seen[:2]] == [put["VersionId"], copy["VersionId"]]
    assert seen[3].version_id == seen[4].version_id == marker["VersionId"]
    record = seen[0].event()["Records"][0]
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["s3"]["bucket"]["name"] == bucket.name
    sequencer = record["s3"]["object"].pop("sequencer")
    assert sequencer < seen[1].event()["Records"][0]["s3"]["object"]["sequencer"]
    assert record["s3"]["object"] == {
        "key": "a+b%2Bc.txt",
        "size": 5,
        "eTag": put["ETag"].strip('"'),
        "versionId": put["VersionId"],
    }


def noticed(cloud: LocalLambda, count: int) -> list[Any]:
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        lines = [line.removeprefix("NOTICED ") for line in list(cloud.log) if line.startswith("NOTICED ")]
        if len(lines) >= count:
            return [json.loads(line) for line in lines]
        time.sleep(0.01)
    raise AssertionError(f"not {count} events within 30 s: {cloud.log}")


@pytest.mark.lambda_
def test_a_trigger_starts_the_function_for_its_prefix_only_and_retries_what_fails(
    start_cloud: StartCloud, bucket: Bucket
) -> None:
    trigger = S3Trigger(bucket=bucket.name, prefix="models/", suffix="")
    function = Function(name="watch", handler="tiny.notice", timeout_s=20, concurrency=1, triggers=(trigger,))
    code = Code(python_path=(HANDLERS,))
    cloud = start_cloud(Config(functions=(function,), code=code, retry_s=(0.01, 0.01)))
    bucket.put("images/a", b"1")
    bucket.put("models/slow", b"1")
    bucket.put("models/b c", b"1")
    bucket.boto.delete_object(Bucket=bucket.name, Key="models/b c")
    assert [(event, details["key"]) for event, _, details in noticed(cloud, 2)] == [
        ("ObjectCreated:Put", "models/slow"),
        ("ObjectCreated:Put", "models/b+c"),
    ]
    bucket.put("models/fail", b"1")
    assert [details["key"] for _, _, details in noticed(cloud, 5)[2:]] == ["models/fail"] * 3
    while not any("dropped after 3 tries" in line for line in cloud.log):
        time.sleep(0.01)
    assert [report.status for report in cloud.reports] == ["success"] * 2 + ["error"] * 3
    assert len(cloud.sandboxes) == 1
