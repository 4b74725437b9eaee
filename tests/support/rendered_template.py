"""CloudFormation templates that serverless.yml becomes, each rendered once a process, by parameters."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from local.deployment import light_copy

EVERYTHING = {
    "tracing": "Active",
    "domain": "pictures.example",
    "certificate": "arn:aws:acm:us-east-1:123456789012:certificate/0",
    "alarmTopic": "arn:aws:sns:us-east-1:123456789012:alarms",
    "concurrency": "5",
    "compileConcurrency": "1",
    "provisioned": "1",
    "bulkQueue": "true",
    "bulkMap": "true",
    "bulkConcurrency": "7",
    "bulkMemory": "3008",
    "slowMs": "9000",
    "capture": "0.01,unsure",
    "captureDays": "7",
    "canaryAlarm": "20",
    "subnets": "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    "securityGroups": "sg-0123456789abcdef0",
    "permissionsBoundary": "arn:aws:iam::123456789012:policy/boundary",
    "rolePath": "/teams/vision/",
    "modelKey": "arn:aws:kms:us-east-1:123456789012:key/0a1b-models",
    "examples": "examples/",
    "imageKey": "arn:aws:kms:us-east-1:123456789012:key/0a1b-images",
    "disableDefaultEndpoint": "true",
    "tags": "team=vision",
    "MAX_IMAGE_BYTES": "5000000",
    "COMPILE_QUANTIZE": "none",
}
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "dev": ("dev", {}),
    "prod": ("prod", {}),
    "everything": ("prod", EVERYTHING),
    "jwt": ("dev", {"api": "http-jwt", "jwtIssuer": "https://issuer.example/", "jwtAudience": "us"}),
    "iam": ("dev", {"api": "http-iam"}),
    "rest": ("dev", EVERYTHING | {"api": "rest-key", "requestsPerCaller": "100"}),
    "given": (
        "dev",
        {
            "modelBucket": "their-models",
            "imageBucket": "their-pictures",
            "modelPrefix": "ours/v1/",
            "imagePrefix": "none",
            "corsOrigin": "none",
            "deploymentBucket": "their-packages",
            "api": "rest",
            "webAcl": "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/theirs/0a1b",
        },
    ),
    "url": ("dev", {"api": "url", "pack": "package", "architecture": "arm64", "alarmTopic": EVERYTHING["alarmTopic"]}),
    "url-iam": ("dev", {"api": "url-iam", "provisioned": "1", "corsOrigin": "https://pages.example"}),
    "bulk": (
        "dev",
        {
            "keepWarm": "true",
            "bulkQueue": "true",
            "bulkMap": "true",
            "bulkConcurrency": "7",
            "imageBucket": "their-pictures",
        },
    ),
}
NO_VALUE = {"Ref": "AWS::NoValue"}
EMPTY_ZIP = b"PK\5\6" + bytes(18)


@cache
def rendered(variant: str) -> dict[str, Any]:
    """The CloudFormation template; the code is an empty zip, as zipping ours would take most of the time."""
    stage, parameters = VARIANTS[variant]
    with TemporaryDirectory() as name:
        folder = light_copy(Path(name))
        (folder / "code.zip").write_bytes(EMPTY_ZIP)
        service = (folder / "serverless.yml").read_text()
        (folder / "serverless.yml").write_text(service.replace("\npackage:\n", "\npackage:\n  artifact: code.zip\n"))
        command: list[str | Path] = [folder / "node_modules" / ".bin" / "serverless", "package", "--stage", stage]
        given = [part for name, value in parameters.items() for part in ("--param", f"{name}={value}")]
        keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
        done = subprocess.run(
            [*command, *given], cwd=folder, env={**os.environ, **keys}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        template = (folder / ".serverless" / "cloudformation-template-update-stack.json").read_text()
    document: dict[str, Any] = json.loads(template)
    return document


def effective(variant: str) -> dict[str, Any]:
    """The resources as CloudFormation makes them: conditions decided, branches taken, what has no value left out."""
    document = rendered(variant)

    def holds(condition: Any) -> bool:
        (kind, argument), *_ = condition.items()
        if kind == "Condition":
            return holds(document["Conditions"][argument])
        if kind == "Fn::Equals":
            first, second = (json.dumps(one) if isinstance(one, bool) else str(one) for one in argument)
            return bool(first == second)
        if kind == "Fn::Not":
            return not holds(argument[0])
        return {"Fn::Or": any, "Fn::And": all}[kind](map(holds, argument))

    def taken(part: Any) -> Any:
        while isinstance(part, dict) and "Fn::If" in part:
            name, then, otherwise = part["Fn::If"]
            part = then if holds({"Condition": name}) else otherwise
        if isinstance(part, dict):
            return {name: value for name, one in part.items() if (value := taken(one)) != NO_VALUE}
        return [value for one in part if (value := taken(one)) != NO_VALUE] if isinstance(part, list) else part

    found = document["Resources"].items()
    return {
        name: taken(one["Properties"])
        for name, one in found
        if "Condition" not in one or holds({"Condition": one["Condition"]})
    }


def resources(variant: str, kind: str) -> dict[str, Any]:
    found = rendered(variant)["Resources"]
    return {name: one["Properties"] for name, one in found.items() if one["Type"] == kind}


def spelt_out(metrics: list[list[Any]]) -> Iterator[tuple[str, ...]]:
    """A widget's metrics without its abbreviations: a dot is the word above, three dots are all but the last."""
    above: tuple[str, ...] = ()
    for metric in metrics:
        words = [word for word in metric if isinstance(word, str)]
        if not words:
            continue
        if words[0] == "...":
            words = [*above[: len(above) - len(words) + 1], *words[1:]]
        above = tuple(above[at] if word == "." else word for at, word in enumerate(words))
        yield above
