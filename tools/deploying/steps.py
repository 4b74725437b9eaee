"""What both checks of a deployment are made of: steps that say how long they took, parameters, and buckets."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from local.account import REGION
from local.deployment import expect
from local.launch import PROJECT, credentials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.aws import LocalAws


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is done and how long it took."""
    print(f"{text} ...", flush=True)
    began = time.perf_counter()
    yield
    print(f"  {time.perf_counter() - began:.1f} s", flush=True)


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty working folder: moto's template check leaves a file in the current one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def given(parameters: list[str]) -> list[str]:
    """Parameters as the framework's command line takes them."""
    return [part for one in parameters for part in ("--param", one)]


def versions(aws: LocalAws, bucket: str) -> int:
    """How many S3 versions a bucket has."""
    return len(aws.client().list_object_versions(Bucket=bucket).get("Versions", []))


def empty(aws: LocalAws, *buckets: str) -> None:
    """As a user would: S3 deletes empty buckets only."""
    own = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_REGION": REGION, **credentials()}
    command = [sys.executable, str(PROJECT / "scripts" / "empty"), *buckets, "--yes"]
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"scripts/empty failed: {done.stderr}")
