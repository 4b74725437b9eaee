"""What tests of bulk classification share: the demo model compiled once, a place that serves it, and many pictures."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from classifier.bundles.compiled import MODEL, REPORT, parse_report
from classifier.compiling import compiler
from lifecycle.place import Place
from lifecycle.release import Release, as_bundle, put_release
from local.launch import PROJECT
from tests.conftest import Bucket
from tests.support.demo import BUNDLE, NAMES, SAMPLES

MODELS = "models/dev/"


@cache
def demo_release() -> Release:
    """The demo model with its compiled form, as `publish` makes it; kept in build/, as that takes seconds."""
    files = {name: (BUNDLE / name).read_bytes() for name in NAMES if (BUNDLE / name).exists()}
    made_of = [*files.values(), Path(compiler.__file__).read_bytes(), version("ai-edge-litert").encode()]
    kept = PROJECT / "build" / "demo" / hashlib.sha256(b"".join(made_of)).hexdigest()[:16]
    if not (kept / REPORT).exists():
        kept.mkdir(parents=True, exist_ok=True)
        report, forms = compiler.compile_bundle(as_bundle(files), [])
        (kept / MODEL).write_bytes(forms["float32"])
        (kept / REPORT).write_bytes(report.to_json())
    report = parse_report((kept / REPORT).read_bytes())
    return Release(files=files, source="the demo", report=report, compiled={MODEL: (kept / MODEL).read_bytes()})


def serve_demo(bucket: Bucket) -> str:
    """Publish the demo model in the bucket; its version."""
    release = demo_release()
    put_release(Place(bucket.name, MODELS, bucket.boto), release, None, lambda _: None)
    return release.version


def environment(bucket: Bucket) -> dict[str, str]:
    """What the function, and our scripts, find the bucket by."""
    return {
        "AWS_ENDPOINT_URL": bucket.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MODEL_BUCKET": bucket.name,
        "MODEL_PREFIX": MODELS,
        "IMAGE_BUCKET": bucket.name,
        "SWAP_SETTLE_SECONDS": "0",
    }


def put_pictures(bucket: Bucket, number: int, prefix: str = "images/") -> dict[str, str | None]:
    """Samples of the demo under awkward keys, every tenth broken; each key with the error's code that it deserves.

    They are put where moto keeps them, as a thousand requests would take longer than all the rest.
    """
    from moto.s3.models import s3_backends

    backend = s3_backends["123456789012"]["aws"]
    expected: dict[str, str | None] = {}
    for index in range(number):
        key = f"{prefix}{index % 7}/space plus+ünd\u2028 {index:04d}.jpg"
        data = SAMPLES[index % len(SAMPLES)].read_bytes()
        code = None
        if index % 20 == 3:
            data, code = b"no picture", "unsupported_image_format"
        elif index % 20 == 13:
            data, code = data[:5000], "invalid_image"
        backend.put_object(bucket.name, key, data)
        expected[key] = code
    return expected


def rows_of(data: bytes) -> list[dict[str, Any]]:
    """JSON lines, read."""
    return [json.loads(line) for line in data.decode().splitlines()]


@pytest.fixture
def place(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket that the environment names."""
    for name, value in environment(bucket).items():
        monkeypatch.setenv(name, value)
    return bucket


def read(bucket: Bucket, key: str) -> bytes:
    data: bytes = bucket.boto.get_object(Bucket=bucket.name, Key=key)["Body"].read()
    return data
