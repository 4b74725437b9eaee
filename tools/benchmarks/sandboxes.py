"""Cold starts on the local Lambda: a fresh sandbox with an empty /tmp folder, its files out of the page cache."""

from __future__ import annotations

import base64
import json
import os
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import local.sandbox
from local.cloud import Config, LocalLambda
from local.launch import PROJECT, Code
from local.s3 import LocalS3
from local.seed import read_bundle, seed_bundle, seed_compiled
from local.template import read_template

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.function import Function
    from local.report import Report

SAMPLE = next((PROJECT / "examples" / "clothing" / "samples" / "t-shirt").glob("01fd*.jpg"))
"""A JPEG of 400 x 533 pixels."""
PATIENCE_S = 300.0
READY_S = 1.0


@dataclass(frozen=True, slots=True)
class Cold:
    """One cold start: Lambda's report and the reply's body."""

    report: Report
    body: dict[str, Any]


def upload_event(picture: bytes) -> dict[str, Any]:
    """The event that an HTTP API makes of an upload."""
    return {
        "version": "2.0",
        "rawPath": "/classify",
        "rawQueryString": "",
        "headers": {"content-type": "image/jpeg", "content-length": str(len(picture))},
        "requestContext": {"http": {"method": "POST", "path": "/classify"}, "stage": "$default"},
        "body": base64.b64encode(picture).decode(),
        "isBase64Encoded": True,
    }


@contextmanager
def no_init_limit() -> Iterator[None]:
    """Without INIT's 10 s, after which Lambda starts again: to the stock layout's advantage, which passes them."""
    usual = local.sandbox.INIT_LIMIT_S
    local.sandbox.INIT_LIMIT_S = PATIENCE_S
    try:
        yield
    finally:
        local.sandbox.INIT_LIMIT_S = usual


@contextmanager
def storage() -> Iterator[LocalS3]:
    """S3 for a benchmark."""
    s3 = LocalS3()
    s3.start()
    try:
        yield s3
    finally:
        s3.stop()


def classify_function(s3: LocalS3, bundle: Path, name: str, **environment: str) -> Function:
    """serverless.yml's classify function, with `bundle` and its compiled form published for it."""
    template = read_template(suffix=f"-{zlib.crc32(name.encode()):x}")  # a bucket's name has 63 characters at most
    for bucket in template.buckets.values():
        s3.create_bucket(bucket)
    function = template.functions[0]
    at = function.environment["MODEL_BUCKET"], function.environment["MODEL_PREFIX"]
    seed_compiled(s3.client(), *at, bundle)
    seed_bundle(s3.client(), *at, read_bundle(bundle), source=name)
    patience = {"REPLY_TIMEOUT_SECONDS": str(PATIENCE_S), **environment}
    return replace(function, name=name, timeout_s=PATIENCE_S, environment={**function.environment, **patience})


@contextmanager
def sandboxes(function: Function, code: Code, s3: LocalS3) -> Iterator[LocalLambda]:
    """A local Lambda of one function."""
    with LocalLambda(Config(functions=(replace(function, triggers=()),), code=code), s3) as cloud:
        yield cloud


def start_cold(cloud: LocalLambda, event: dict[str, Any], *forget: Path) -> Cold:
    """Stop what runs, take the files below `forget` out of the page cache, and ask a fresh sandbox.

    AssertionError with the log when the reply is no success: a failure has no place among durations.
    """
    cloud.stop_sandboxes()
    for folder in forget:
        drop_from_cache(folder)
    reply = cloud.invoke(event)
    assert isinstance(reply, dict), reply
    assert reply.get("statusCode", 200) == 200, "\n".join([str(reply), *cloud.log[-30:]])
    return Cold(cloud.reports[-1], body_of(reply))


def start_ready(cloud: LocalLambda, event: dict[str, Any], warm: int) -> list[float]:
    """Milliseconds of a first request to a sandbox whose INIT ended a second before, and of `warm` more to it."""
    cloud.stop_sandboxes()
    cloud.start_ahead()
    time.sleep(READY_S)
    durations = []
    for _ in range(1 + warm):
        reply = cloud.invoke(event)
        assert isinstance(reply, dict), reply
        assert reply.get("statusCode") == 200, "\n".join([str(reply), *cloud.log[-30:]])
        durations.append(cloud.reports[-1].duration_ms)
    return durations


def body_of(reply: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a front door's reply, or of a plain function's."""
    body: dict[str, Any] = json.loads(reply["body"]) if "body" in reply else reply
    return body


def drop_from_cache(path: Path) -> None:
    """Ask the system to forget the pages of a file, or of all files below a folder."""
    if not hasattr(os, "posix_fadvise"):
        return
    for found in [path] if path.is_file() else path.rglob("*"):
        if found.is_file():
            descriptor = os.open(found, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
