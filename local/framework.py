"""What the Serverless Framework reads in serverless.yml: asked, kept, and of the stage dev shipped.

The framework and its packages are 106 MB, and reading takes seconds. So answers are kept in build/ under a digest of
what they depend on. What the local Lambda uses of stage dev's lies in the repository, under the same digest, so that
`npm start` needs no framework until somebody changes serverless.yml. Reading it writes that anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from local import supply
from local.launch import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED_STAGE = "dev"
SHIPPED = PROJECT / "local" / f"serverless-{SHIPPED_STAGE}.json"
QUIET_S = 4.0
_FUNCTION = (
    *("name", "handler", "memorySize", "timeout", "ephemeralStorageSize", "reservedConcurrency"),
    *("environment", "url", "events"),
)


class TemplateError(Exception):
    """serverless.yml can't be read, or holds a value that means nothing locally."""


def stated(stage: str, project: Path = PROJECT) -> dict[str, Any]:
    """What of a stage the local Lambda uses. Raises TemplateError when serverless.yml can't be read."""
    if stage == SHIPPED_STAGE and project == PROJECT:
        shipped = json.loads(SHIPPED.read_text())
        if shipped["digest"] == digest(stage, project):
            return cast("dict[str, Any]", shipped["stated"])
        return ship()
    return used(printed(stage, project))


def ship() -> dict[str, Any]:
    """Ask the framework, and write what is shipped anew: whoever changes serverless.yml commits it along."""
    answer = used(printed(SHIPPED_STAGE))
    with suppress(OSError):  # a checkout that may not be written to asks each time
        fresh = SHIPPED.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps({"digest": digest(SHIPPED_STAGE, PROJECT), "stated": answer}, indent=1) + "\n")
        fresh.replace(SHIPPED)
    return answer


def used(whole: dict[str, Any]) -> dict[str, Any]:
    """The part of the framework's answer that the local Lambda uses."""
    resources = whole.get("resources", {}).get("Resources", {})
    return {
        "service": whole["service"],
        "provider": {
            name: whole["provider"][name]
            for name in ("environment", "memorySize", "timeout", "ephemeralStorageSize")
            if name in whole["provider"]
        },
        "functions": {
            logical: {name: one[name] for name in _FUNCTION if name in one}
            for logical, one in whole["functions"].items()
        },
        "resources": {
            "Resources": {name: one for name, one in resources.items() if one.get("Type") == "AWS::S3::Bucket"}
        },
    }


def printed(stage: str, project: Path = PROJECT) -> dict[str, Any]:
    """The framework's whole answer. Raises TemplateError when serverless.yml can't be read."""
    kept = project / "build" / "serverless" / f"{stage}-{digest(stage, project)}.json"
    if kept.exists():
        return cast("dict[str, Any]", json.loads(kept.read_text()))
    answer = _print(stage, project)
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Two processes may do this at once: each writes its own file and renames it.
    fresh = kept.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(answer))
    fresh.replace(kept)
    return answer


def digest(stage: str, project: Path) -> str:
    """Of what the answer depends on: serverless.yml without comments, the variables that it names, the framework."""
    lines = [line.rstrip() for line in (project / "serverless.yml").read_text().splitlines()]
    text = "\n".join(line for line in lines if line and not re.match(r"\s*#", line))
    named = sorted(set(re.findall(r"\$\{env:(\w+)", text)))
    lock = project / "package-lock.json"
    packages = json.loads(lock.read_text())["packages"] if lock.exists() else {}
    version = str(packages.get("node_modules/serverless", {}).get("version"))
    parts = [stage, text, version, *(f"{name}={os.environ.get(name)}" for name in named)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _print(stage: str, project: Path) -> dict[str, Any]:
    command = project / "node_modules" / ".bin" / "serverless"
    if not command.exists():
        try:
            supply.install_framework("serverless.yml is not the one that was shipped, or this is another stage.")
        except supply.SupplyError as error:
            raise TemplateError(f"serverless.yml can't be read: {error}") from error
    # One compilation at a time: a laptop has not the cores for what Lambda does side by side.
    asked = [str(command), "print", "--format", "json", "--stage", stage, "--region", "us-east-1"]
    asked += ["--param", "compileConcurrency=1"]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(asked, cwd=project, text=True, **pipes) as process:
        said, complaint = _waited(process)
    start = said.find("{")
    if process.returncode or start < 0:
        raise TemplateError(f"serverless.yml can't be read: {(complaint or said).strip()}")
    return cast("dict[str, Any]", json.loads(said[start:]))


def _waited(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it said on its two streams; while that takes long, the user hears that it goes on."""
    print("Reading serverless.yml ...", file=sys.stderr, flush=True)
    started = time.monotonic()
    while True:
        try:
            return process.communicate(timeout=QUIET_S)
        except subprocess.TimeoutExpired:
            seconds = round(time.monotonic() - started)
            print(f"  still at it: Reading serverless.yml, {seconds} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    ship()
