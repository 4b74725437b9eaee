"""One run of all functions through everything that they do, and what it leaves: calls to S3, and the log."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import urllib3

from local.cloud import Config, LocalLambda
from local.launch import Code
from local.s3 import LocalS3
from local.seed import seed_bundle
from local.template import Template, read_template
from tests.support.demo import HANDLERS, SAMPLES
from tests.support.keras_models import FIXTURES
from tests.support.origin import Origin, reply
from tests.support.roles import Call, call_of

MODEL = FIXTURES / "keras-3.15.1_tf-2.21" / "mobiletop"
BUNDLE = {name: (MODEL / name).read_bytes() for name in ("architecture.json", "weights.h5")} | {
    "serving.json": json.dumps({"labels": [f"class {number}" for number in range(10)]}).encode()
}
PICTURE = SAMPLES[0].read_bytes()
HTTP = urllib3.PoolManager(timeout=120, retries=False)
SETTLE_S = 1
ROLES = {"classify": "ClassifyRole", "compile": "CompileRole", "bulk": "BulkRole"}


@dataclass(frozen=True, slots=True)
class Run:
    """What a run left: calls by function, and the log's lines."""

    calls: dict[str, frozenset[Call]]
    lines: list[dict[str, Any]]
    template: Template


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    s3 = LocalS3()
    s3.start()
    template = read_template(suffix="-full-run")
    for name in template.buckets.values():
        s3.create_bucket(name)
    functions = tuple(
        replace(
            function,
            handler=function.handler.replace("handler.", "loopback."),
            environment={
                **function.environment,
                "AWS_ACCESS_KEY_ID": function.name,  # tells their requests apart
                "MODEL_CHECK_SECONDS": "0",
                "SWAP_SETTLE_SECONDS": str(SETTLE_S),
                "RELOAD_WAIT_SECONDS": "60",
                "COMPILE_PATIENCE_SECONDS": "0",
            },
            rules=(),
        )
        for function in template.functions
    )
    pictures = {"/a.jpg": reply(PICTURE, "Content-Type: image/jpeg")}
    config = Config(functions=functions, code=Code(python_path=(HANDLERS,)), strict=True)
    try:
        with Origin(pictures) as origin, LocalLambda(config, s3) as cloud:
            everything(cloud, s3.client(), functions[0].environment, origin)
        requests = [request for request in s3.requests if request.caller in {function.name for function in functions}]
        calls = {
            name: frozenset(call_of(request) for request in requests if request.caller.endswith(f"-{name}"))
            for name in ROLES
        }
        yield Run(calls, [json.loads(line) for line in cloud.log if line.startswith("{")], template)
    finally:
        s3.stop()


def everything(cloud: LocalLambda, client: Any, settings: Any, origin: Origin) -> None:
    """Each way in, each way that a model is found, read, compiled and refused."""
    bucket, prefix, pictures = settings["MODEL_BUCKET"], settings["MODEL_PREFIX"], settings["IMAGE_BUCKET"]
    client.put_object(Bucket=pictures, Key="images/a b.jpg", Body=PICTURE)
    client.put_object(Bucket=bucket, Key=f"{prefix}probes/a.jpg", Body=PICTURE)
    put(client, bucket, prefix, BUNDLE)
    put(client, bucket, f"{prefix}second/", BUNDLE)
    time.sleep(SETTLE_S + 1)
    ask(cloud, 200, body=PICTURE)
    seed_bundle(client, bucket, prefix, BUNDLE, source="full run")
    ask(cloud, 200, body=PICTURE)
    for event, expected in (({}, "compiled"), ({}, "compiled before"), ({"model": "second"}, "compiled")):
        outcome: Any = cloud.invoke(event, function=cloud._config.functions[1].name)
        assert (outcome["result"], outcome["usable"]) == (expected, True)
    ask(cloud, 200, "/classify?model=second", body=PICTURE)
    cloud.stop_sandboxes()
    every_way_in(cloud, origin)
    put(client, bucket, prefix, {"architecture.json": BUNDLE["architecture.json"][:99]})
    time.sleep(SETTLE_S + 1)
    ask(cloud, 200, body=PICTURE)
    cloud.stop_sandboxes()
    ask(cloud, 200, body=PICTURE)
    in_bulk(cloud, client, pictures)


def in_bulk(cloud: LocalLambda, client: Any, pictures: str) -> None:
    """A batch of the queue, whose pictures have a version, have none, or are none, and a batch of a list."""
    bulk = cloud._config.functions[2].name
    version = client.put_object(Bucket=pictures, Key="images/b.jpg", Body=PICTURE)["VersionId"]
    client.put_object(Bucket=pictures, Key="images/text", Body=b"no picture")
    objects = ({"key": "images/b.jpg", "version-id": version}, {"key": "images/a b.jpg"}, {"key": "images/text"})
    records = [
        {"messageId": one["key"], "body": json.dumps({"detail-type": "Object Created", "detail": detail})}
        for one in objects
        for detail in [{"bucket": {"name": pictures}, "object": {"etag": "e", "size": 9, **one}}]
    ]
    assert cloud.invoke({"Records": records}, function=bulk) == {"batchItemFailures": []}
    listed = {"Items": [{"Key": "images/b.jpg", "Size": 9, "Etag": "e"}], "BatchInput": {"run": "r"}}
    outcome: Any = cloud.invoke(listed, function=bulk)
    assert (outcome["pictures"], outcome["refused"]) == (1, 0)


def put(client: Any, bucket: str, prefix: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        client.put_object(Bucket=bucket, Key=prefix + name, Body=data)


def every_way_in(cloud: LocalLambda, origin: Origin) -> None:
    ask(cloud, 200, body=PICTURE)
    ask(cloud, 200, f"/classify?imagelink={origin.url('/a.jpg')}")
    ask(cloud, 200, "/classify?s3key=images/a%20b.jpg")
    encoded = base64.b64encode(PICTURE).decode()
    ask(cloud, 200, body=json.dumps({"images": [{"s3key": "images/a b.jpg"}, {"image": encoded}]}).encode())
    predict = {"instances": [{"b64": encoded}]}
    ask(cloud, 200, "/v1/models/classifier:predict", body=json.dumps(predict).encode())
    for path in ("/", "/health", "/model", "/v1/models/classifier", "/v1/models/classifier/metadata"):
        ask(cloud, 200, path)
    cloud.invoke({"s3key": "images/a b.jpg"})
    for status, path in {
        404: "/nope",
        400: "/classify?s3key=models/dev/x",
        422: "/classify?imagelink=http://127.0.0.1:1/",
    }.items():
        ask(cloud, status, path)
    ask(cloud, 404, "/classify?s3key=images/none.jpg")
    ask(cloud, 404, "/classify?model=none&s3key=images/a%20b.jpg")


def ask(cloud: LocalLambda, status: int, path: str = "/classify", body: bytes | None = None) -> None:
    kind = {"content-type": "application/json" if body and body[:1] == b"{" else "image/jpeg"}
    for _ in range(5):
        answer = HTTP.request("POST" if body else "GET", cloud.url + path, body=body, headers=kind if body else {})
        if answer.status != 503:  # a slow machine's "loading"
            break
    assert answer.status == status, (path, answer.data, cloud.log)
