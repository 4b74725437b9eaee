"""The real functions behind LocalStack's services: REST API with keys, EventBridge, SQS with partial batches."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from local.cloud import Config, LocalLambda
from local.deployment import Deployment, expect, light_copy
from local.launch import PROJECT
from local.seed import read_bundle, seed_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from local.stack.server import LocalStack

PARAMETERS = ("api=rest-key", "bulkQueue=true")
"""Not bulkMap: the parser of LocalStack's Step Functions knows no ItemBatcher, so that the stack would fail."""
BUNDLE = PROJECT / "examples" / "clothing"
SAMPLE = BUNDLE / "samples" / "pants" / "122f0c94-4f37-4010-8c43-06d79bdf4433.jpg"
LONGEST_S = 300


def check(aws: LocalStack, folder: Path, picture: Path, step: Callable[[str], AbstractContextManager[None]]) -> None:
    """Deploy, put a model in, ask for a picture and leave one, remove. DeploymentError says what went wrong."""
    deployment = Deployment(aws, "dev", light_copy(folder))
    with step("serverless deploy, to LocalStack"):
        deployment.deploy(*(part for one in PARAMETERS for part in ("--param", one)))
    functions = tuple(deployment.function(name)[1] for name in ("classify", "compile", "bulk"))
    models, pictures = deployment.bucket("ModelBucket"), deployment.bucket("ImageBucket")
    with LocalLambda(Config(functions=functions), aws) as cloud:
        aws.sandboxes.write_text(cloud.lambda_endpoint)
        with step("put a model into the bucket, and wait until EventBridge's event has it compiled"):
            version = seed_bundle(aws.client(), models, "models/dev/", read_bundle(BUNDLE), source="deploy_check")
            report = f"models/dev/compiled/{version}/report.json"
            found = _wait(aws, models, report)
            expect(json.loads(found)["usable"] is True, f"the compiled form is refused: {found.decode()}")
        with step("classify an upload through the REST API, with its key and without"):
            _ask(aws, deployment, picture.read_bytes(), version)
        with step("leave a picture in the bucket, and wait for its row: S3, EventBridge, SQS, bulk"):
            # LocalStack percent-encodes keys in EventBridge's events, S3 does not: a key that is the same both ways.
            aws.client().put_object(Bucket=pictures, Key="images/a.jpg", Body=picture.read_bytes())
            row = json.loads(_wait(aws, pictures, "results/"))
            expect((row["key"], row.get("status", 200)) == ("images/a.jpg", 200), f"the row is {row}")
            print(f"  {row['predictions'][0]}")
    # Not `serverless remove`: it looks for images in ECR, which the open edition has not.
    with step("delete the stack"):
        for bucket in (models, pictures, deployment.bucket("ServerlessDeploymentBucket")):
            _empty(aws, bucket)
        stacks = aws.client("cloudformation")
        stacks.delete_stack(StackName=deployment.stack)
        stacks.get_waiter("stack_delete_complete").wait(StackName=deployment.stack)
        left = [one["Name"] for one in aws.client().list_buckets()["Buckets"]]
        expect(not left, f"deleting the stack left {left}")


def _ask(aws: LocalStack, deployment: Deployment, picture: bytes, version: str) -> None:
    gateway = aws.client("apigateway")
    (api,) = (one["id"] for one in gateway.get_rest_apis()["items"])
    key = gateway.get_api_keys(includeValues=True)["items"][0]["value"]
    url = f"{aws.endpoint}/_aws/execute-api/{api}/{deployment.stage}/classify"

    def post(headers: dict[str, str]) -> tuple[int, Any]:
        request = Request(url, data=picture, headers={"content-type": "image/jpeg", **headers}, method="POST")  # noqa: S310 - our own
        try:
            with urlopen(request, timeout=60) as reply:  # noqa: S310 - our own
                return reply.status, json.load(reply)
        except HTTPError as error:
            return error.code, json.load(error)

    status, body = post({"x-api-key": key})
    expect(status == 200, f"the API says {status} {body}")
    expect(body["model"]["version"] == version, f"another model answered: {body}")
    print(f"  {body['predictions'][0]}, {body['model']['engine']}")
    expect(post({})[0] == 403, "the API answers without a key")


def _wait(aws: LocalStack, bucket: str, prefix: str) -> bytes:
    """The first object under `prefix`, as soon as there is one."""
    client, until = aws.client(), time.monotonic() + LONGEST_S
    while time.monotonic() < until:
        for one in client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
            body: bytes = client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
            return body
        time.sleep(1)
    expect(False, f"nothing came to s3://{bucket}/{prefix} in {LONGEST_S} s")
    return b""


def _empty(aws: LocalStack, bucket: str) -> None:
    client = aws.client()
    found = client.list_object_versions(Bucket=bucket)
    for one in found.get("Versions", []) + found.get("DeleteMarkers", []):
        client.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
