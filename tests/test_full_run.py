"""All functions through everything that they do, once, as IAM, CloudWatch and an operator see it from outside.

Every call to S3 is one that the role allows, and nothing is allowed that is never used; every line of the log is one
that CloudWatch takes metrics from; every field that docs/operate.md asks for is there.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import urllib3

from classifier.metrics import METRICS
from local.cloud import Config, LocalLambda
from local.launch import PROJECT, Code
from local.s3 import LocalS3
from local.seed import seed_bundle
from local.template import Template, _printed, read_template
from tests.demo import HANDLERS, SAMPLES
from tests.emf import extracted
from tests.keras_models import FIXTURES
from tests.origin import Origin, reply
from tests.roles import Call, Permission, call_of, permissions

pytestmark = [
    pytest.mark.lambda_,
    pytest.mark.tensorflow,
    pytest.mark.skipif(not (PROJECT / "node_modules" / ".bin" / "serverless").exists(), reason="run npm ci"),
]
MODEL = FIXTURES / "keras-3.15.1_tf-2.21" / "mobiletop"
BUNDLE = {name: (MODEL / name).read_bytes() for name in ("architecture.json", "weights.h5")} | {
    "serving.json": json.dumps({"labels": [f"class {number}" for number in range(10)]}).encode()
}
PICTURE = SAMPLES[0].read_bytes()
HTTP = urllib3.PoolManager(timeout=120, retries=False)
SETTLE_S = 1
ROLES = {"classify": "ClassifyRole", "compile": "CompileRole", "bulk": "BulkRole"}
USED_BY_OTHERS = {
    "logs:CreateLogStream": "Lambda itself writes the log with the function's role",
    "logs:PutLogEvents": "Lambda itself writes the log with the function's role",
    "xray:PutTraceSegments": "Lambda itself traces with the function's role, by the parameter `tracing`",
    "xray:PutTelemetryRecords": "Lambda itself traces with the function's role, by the parameter `tracing`",
}


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
    config = Config(functions=functions, code=Code(python_path=(HANDLERS,)))
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


def allowed(name: str, template: Template) -> tuple[Permission, ...]:
    roles = _printed("dev", PROJECT)["resources"]["Resources"]
    return permissions(roles[ROLES[name]], template.buckets)


@pytest.mark.parametrize("name", ROLES)
def test_the_role_allows_every_call_that_the_function_made(name: str, run: Run) -> None:
    granted = allowed(name, run.template)
    assert run.calls[name]
    assert [call for call in run.calls[name] if not any(one.allows(call) for one in granted)] == []


@pytest.mark.parametrize("name", ROLES)
def test_the_role_allows_nothing_that_was_not_used(name: str, run: Run) -> None:
    unused = {one for one in allowed(name, run.template) if not any(one.allows(call) for call in run.calls[name])}
    assert {one.action for one in unused} == set(USED_BY_OTHERS)


@pytest.mark.parametrize(
    ("name", "action", "key", "prefix"),
    [
        ("classify", "s3:PutObject", "models/dev/compiled/0/model.tflite", None),
        ("classify", "s3:GetObject", "models/prod/architecture.json", None),
        ("classify", "s3:DeleteObject", "models/dev/architecture.json", None),
        ("classify", "s3:ListBucket", "", "models/"),
        ("classify", "s3:ListBucket", "", None),
        ("compile", "s3:PutObject", "models/dev/architecture.json", None),
        ("compile", "s3:PutObject", "models/prod/compiled/0/model.tflite", None),
        ("compile", "s3:ListBucketVersions", "", "models/dev/"),
        ("bulk", "s3:PutObject", "models/dev/compiled/0/model.tflite", None),
        ("bulk", "s3:PutObject", "results/a.jpg/e.jsonl", None),
    ],
)
def test_the_roles_refuse_what_nobody_needs(name: str, action: str, key: str, prefix: str | None, run: Run) -> None:
    arn = f"arn:aws:s3:::{run.template.buckets['ModelBucket']}"
    call = Call(action, f"{arn}/{key}" if key else arn, prefix)
    assert not any(one.allows(call) for one in allowed(name, run.template))


def test_the_compile_function_may_not_see_pictures(run: Run) -> None:
    picture = Call("s3:GetObject", f"arn:aws:s3:::{run.template.buckets['ImageBucket']}/images/a b.jpg")
    allowing = [name for name in ROLES if any(one.allows(picture) for one in allowed(name, run.template))]
    assert allowing == ["classify", "bulk"]


def test_the_bulk_function_writes_beside_the_pictures_and_never_among_them(run: Run) -> None:
    arn = f"arn:aws:s3:::{run.template.buckets['ImageBucket']}"
    written = {call.resource for call in run.calls["bulk"] if call.action == "s3:PutObject"}
    assert len(written) == 4
    assert all(name.startswith(f"{arn}/results/") for name in written)
    pictures = Call("s3:PutObject", f"{arn}/images/a b.jpg")
    assert not any(one.allows(pictures) for name in ROLES for one in allowed(name, run.template))


def test_cloudwatch_takes_every_metric_from_the_lines_that_a_run_leaves(run: Run) -> None:
    found = {name.partition(" ")[0] for line in run.lines for name in extracted(line, "keras-classifier/dev")}
    every = {name for names in METRICS.values() for name in names}
    # S3 never failed, and no compiled form was bad; tests/test_metrics.py has such lines.
    assert every - found == {"server_errors", "checks_failed", "compiles_refused"}
    requests = [line for line in run.lines if line["message"] == "request"]
    assert all(extracted(line, "keras-classifier/dev")["requests"] == 1 for line in requests)
    assert len({line["request_id"] for line in requests}) == len(requests)


QUERIES = re.findall(
    r"^    (.+)$",
    (PROJECT / "docs" / "operate.md").read_text().partition("### A query for each")[2].partition("\n## ")[0],
    re.MULTILINE,
)
WORDS = {
    *(
        "fields",
        "filter",
        "stats",
        "sort",
        "limit",
        "by",
        "as",
        "and",
        "or",
        "not",
        "like",
        "desc",
        "asc",
        "in",
        "display",
    ),
    *("true", "false"),
}
DISCOVERED = {
    "@timestamp",
    "@type",
    "@message",
    "@log",
    "@maxMemoryUsed",
    "@billedDuration",
    "@initDuration",
    "@duration",
}
"""Fields that CloudWatch finds in any Lambda function's log:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_AnalyzeLogData-discoverable-fields.html"""
ONLY_SOMETIMES = {
    "unpack_ms": "the package has something to unpack, the source tree has not",
    "stack": "no fault of ours",
}


def fields_of(query: str) -> set[str]:
    """The names of fields that a query of CloudWatch Logs Insights reads, without those that it makes itself."""
    bare = re.sub(r'"[^"]*"|/[^/]*/', " ", query)
    own = set(re.findall(r"\bas (\w+)", bare))
    names = set(re.findall(r"(?<![\w.@])(@?[A-Za-z][\w.]*)(?![\w.]*\s*\()", bare))
    return {name for name in names - own - WORDS if not re.fullmatch(r"\d+[smhd]|e\d+", name)}


def names_in(line: dict[str, Any]) -> Iterator[str]:
    """A line's fields as CloudWatch names them: a dot leads into an object."""
    for name, value in line.items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in names_in(value))


@pytest.mark.parametrize("query", QUERIES)
def test_the_fields_that_a_query_asks_for_are_in_the_log(query: str, run: Run) -> None:
    asked = fields_of(query)
    assert {name for name in asked if name.startswith("@")} <= DISCOVERED
    message = re.search(r'message = "(\w+)"', query)
    lines = [line for line in run.lines if message is None or line["message"] == message[1]]
    there = {name for line in lines for name in names_in(line)} | set(ONLY_SOMETIMES)
    assert {name for name in asked if not name.startswith("@")} - there == set()


def test_a_querys_fields_are_found_as_they_are_written() -> None:
    query = 'filter message = "a b" and status >= 400 | stats pct(ms, 99) / 1e6 as p, count(*) by a.b, bin(1h) | sort p'
    assert fields_of(query) == {"message", "status", "ms", "a.b"}
