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
    "keepWarm": "true",
    "domain": "pictures.example",
    "certificate": "arn:aws:acm:us-east-1:123456789012:certificate/0",
    "alarmTopic": "arn:aws:sns:us-east-1:123456789012:alarms",
    "concurrency": "5",
    "compileConcurrency": "1",
    "provisioned": "1",
    "bulkQueue": "true",
    "bulkMap": "true",
    "bulkConcurrency": "7",
}
VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "dev": ("dev", {}),
    "prod": ("prod", {}),
    "everything": ("prod", EVERYTHING),
    "jwt": ("dev", {"door": "http-jwt", "jwtIssuer": "https://issuer.example/", "jwtAudience": "us"}),
    "iam": ("dev", {"door": "http-iam"}),
    "rest": ("dev", EVERYTHING | {"door": "rest-key"}),
    "given": ("dev", {"modelBucket": "their-models", "imageBucket": "their-pictures", "door": "rest"}),
    "url": ("dev", {"door": "url", "pack": "package", "architecture": "arm64", "alarmTopic": EVERYTHING["alarmTopic"]}),
    "url-iam": ("dev", {"door": "url-iam", "provisioned": "1", "corsOrigin": "https://pages.example"}),
    "bulk": ("dev", {"bulkQueue": "true", "bulkMap": "true", "bulkConcurrency": "7", "imageBucket": "their-pictures"}),
}
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
