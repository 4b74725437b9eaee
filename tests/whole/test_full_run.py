"""All functions through everything that they do, once, as IAM, CloudWatch and an operator see it from outside.

Every call to S3 is one that the role allows, and nothing is allowed that is never used; every line of the log is one
that CloudWatch takes metrics from; every field that docs/operate/logs.md asks for is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from classifier.metrics import METRICS
from local.framework import printed
from local.launch import PROJECT
from local.template import Template
from tests.support.emf import extracted
from tests.support.framework import needs_framework
from tests.support.full_run import ROLES, Run
from tests.support.full_run import run as run
from tests.support.roles import Call, Permission, permissions

pytestmark = [
    pytest.mark.lambda_,
    pytest.mark.tensorflow,
    needs_framework,
]


INTERFACES = (
    "CreateNetworkInterface",
    "DescribeNetworkInterfaces",
    "DescribeSubnets",
    "DeleteNetworkInterface",
    "AssignPrivateIpAddresses",
    "UnassignPrivateIpAddresses",
)
USED_BY_OTHERS = {
    "logs:CreateLogStream": "Lambda itself writes the log with the function's role",
    "logs:PutLogEvents": "Lambda itself writes the log with the function's role",
    "sqs:SendMessage": "Lambda itself keeps events that were given up, with the function's role",
    **dict.fromkeys(
        (f"ec2:{action}" for action in INTERFACES),
        "Lambda itself makes network interfaces with the function's role, by the parameter `subnets`",
    ),
    **dict.fromkeys(
        ("kms:Decrypt", "kms:GenerateDataKey"), "S3 itself uses the keys for the role, by `modelKey` and `imageKey`"
    ),
    "xray:PutTraceSegments": "Lambda itself traces with the function's role, by the parameter `tracing`",
    "xray:PutTelemetryRecords": "Lambda itself traces with the function's role, by the parameter `tracing`",
}


def allowed(name: str, template: Template) -> tuple[Permission, ...]:
    roles = printed("dev")["resources"]["Resources"]
    return permissions(roles[ROLES[name]], template.buckets)


@pytest.mark.parametrize("name", ROLES)
def test_the_role_allows_every_call_that_the_function_made(name: str, run: Run) -> None:
    granted = allowed(name, run.template)
    assert run.calls[name]
    assert [call for call in run.calls[name] if not any(one.allows(call) for one in granted)] == []


@pytest.mark.parametrize("name", ROLES)
def test_the_role_allows_nothing_that_was_not_used(name: str, run: Run) -> None:
    unused = {one for one in allowed(name, run.template) if not any(one.allows(call) for call in run.calls[name])}
    packs = {one for one in unused if "/packs/" in one.resource}  # the source tree has none: bootstrap/test_frames.py
    assert {one.action for one in packs} == {"s3:GetObject"}
    unused -= packs
    # Off in this run: tests/classifier/captures and tests/classifier/test_examples.py use them.
    unused -= {one for one in unused if one.condition in {"Captured", "CapturedKeyed", "Exemplified"}}
    not_its = {"compile": set[str]()}.get(name, {"sqs:SendMessage"}) | {"classify": {"kms:GenerateDataKey"}}.get(
        name, set[str]()
    )
    assert {one.action for one in unused} == set(USED_BY_OTHERS) - not_its


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
    # S3 never failed, and no compiled form was bad; tests/classifier/test_metrics.py has such lines.
    missing = {"server_errors", "checks_failed", "compiles_refused"}
    off = {
        "unsure",
        "captured",
        "captures_failed",
        "shadowed",
        "disagreements",
    }  # no threshold, canary
    assert every - found == missing | off
    requests = [line for line in run.lines if line["message"] == "request"]
    assert all(extracted(line, "keras-classifier/dev")["requests"] == 1 for line in requests)
    assert len({line["request_id"] for line in requests}) == len(requests)


QUERIES = re.findall(
    r"^    (.+)$",
    (PROJECT / "docs" / "operate" / "logs.md").read_text().partition("### A query for each")[2].partition("\n## ")[0],
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
    "canary": "no canary runs",
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
