"""What a fresh function imports for a request that will be refused, and opens for one that the fast path answers."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.bundles.store import ModelStore
from classifier.compiling.compile_job import CompileJob
from local.launch import PROJECT
from tests.conftest import Bucket
from tests.support.model_kinds import KINDS, PICTURE, PREFIX, put
from tests.support.pictures import encoded, photo

HEAVY = ("numpy", "tensorflow", "keras", "h5py", "boto3", "botocore", "ai_edge_litert", "classifier.captures.capture")
ASK = """
import json, sys, time
import handler

class Context:
    aws_request_id = "r"
    def get_remaining_time_in_millis(self):
        return 30000

answers = [handler.classify(event, Context()) for event in json.load(sys.stdin)]
codes = [json.loads(answer["body"]).get("error", {}).get("code") for answer in answers]
print(json.dumps({"codes": codes, "heavy": [name for name in sys.argv[1:] if name in sys.modules]}))
"""

WATCH = """
import json, sys

opened, heard = [], ("open", "import", "ctypes.dlopen")
sys.addaudithook(lambda name, given: opened.append(str(given[0])) if name in heard else None)
"""
TELL = """
mapped = [line.split()[-1] for line in open("/proc/self/maps")] if sys.platform == "linux" else []
bodies = [json.loads(answer["body"]) for answer in answers]
print(json.dumps({"answers": bodies, "codes": codes, "opened": [*opened, *mapped]}))
"""


def _event(query: str = "", method: str = "GET", path: str = "/classify", **changes: Any) -> dict[str, Any]:
    context = {"http": {"method": method, "path": path}, "stage": "$default"}
    return {"version": "2.0", "rawPath": path, "rawQueryString": query, "requestContext": context, **changes}


REFUSED = {
    "health": (_event(path="/health"), None),
    "description of the API": (_event(path="/openapi.json"), None),
    "unknown path": (_event(path="/nope"), "not_found"),
    "unknown method": (_event(method="DELETE"), "method_not_allowed"),
    "nothing": (_event(), "missing_input"),
    "ambiguous": (_event("imagelink=http://a.example/&s3key=images/a"), "ambiguous_input"),
    "scheme": (_event("imagelink=file:///etc/passwd"), "url_scheme_not_allowed"),
    "password": (_event("imagelink=http://u:p@a.example/"), "url_credentials_not_allowed"),
    "port": (_event("imagelink=http://a.example:22/"), "url_port_not_allowed"),
    "private host": (_event("imagelink=http://169.254.169.254/latest"), "url_host_not_allowed"),
    "private IPv6 host": (_event("imagelink=https://[::ffff:10.0.0.1]/"), "url_host_not_allowed"),
    "key": (_event("s3key=models/dev/architecture.json"), "invalid_s3_key"),
    "no picture": (_event(method="POST", body="hello, world"), "unsupported_image_format"),
    "broken picture": (
        _event(method="POST", body="iVBORw0KGgoAAAANSUhEUg==", isBase64Encoded=True),
        "invalid_image",
    ),
    "broken JSON": (_event(method="POST", body="{", headers={"content-type": "application/json"}), "invalid_request"),
    "broken form": (
        _event(method="POST", body="x", headers={"content-type": "multipart/form-data; boundary=b"}),
        "invalid_request",
    ),
}


def _said(script: str, events: list[dict[str, Any]], folder: Path, **environ: str) -> Any:
    """What a fresh process that runs `script` on `events` prints last."""
    given = {
        "PATH": os.environ["PATH"],
        "MODEL_BUCKET": "models",
        "IMAGE_BUCKET": "pictures",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "TMPDIR": str(folder),
        "PYTHONPATH": str(PROJECT),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *HEAVY],
        input=json.dumps(events),
        env=given | environ,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_request_that_is_refused_imports_nothing_heavy(tmp_path: Path) -> None:
    said = _said(ASK, [event for event, _ in REFUSED.values()], tmp_path)
    assert dict(zip(REFUSED, said["codes"], strict=True)) == {name: code for name, (_, code) in REFUSED.items()}
    assert said["heavy"] == []


@pytest.fixture
def compiled(bucket: Bucket) -> Bucket:
    """A bucket with a bundle and its compiled form."""
    put(bucket, KINDS["sequential"].make())
    store = ModelStore.at(bucket.s3, bucket.name, PREFIX, settle_s=0, max_bytes=10**8)
    assert CompileJob(store).run(time.monotonic() + 120)["usable"]
    return bucket


def _served(script: str, events: list[dict[str, Any]], bucket: Bucket, folder: Path, **environ: str) -> Any:
    """What a sandbox that Lambda starts over the bucket says."""
    places = {"MODEL_BUCKET": bucket.name, "AWS_ENDPOINT_URL": bucket.endpoint_url, "SWAP_SETTLE_SECONDS": "0"}
    return _said(script, events, folder, _HANDLER="handler.classify", **places, **environ)


def _upload(format_: str) -> dict[str, Any]:
    picture = base64.b64encode(encoded(photo(), format_)).decode()
    return _event(method="POST", body=picture, isBase64Encoded=True)


def _predict(**body: Any) -> dict[str, Any]:
    return _event(method="POST", path="/v1/models/classifier:predict", body=json.dumps(body))


FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")


@pytest.mark.tensorflow
def test_the_fast_path_needs_no_numpy_and_opens_no_file_of_tensorflow(compiled: Bucket, tmp_path: Path) -> None:
    several = [{"image": base64.b64encode(encoded(photo(), "PNG")).decode()}] * 2
    events = [
        *map(_upload, FORMATS),
        _event(method="POST", body=json.dumps({"images": several}), headers={"content-type": "application/json"}),
        _predict(instances=[{"b64": several[0]["image"]}]),
        _predict(instances=np.zeros((2, *PICTURE)).tolist()),
        _event(path="/model"),
    ]

    said = _served(WATCH + ASK + TELL, events, compiled, tmp_path)

    assert said["codes"] == [None] * len(events)
    assert said["answers"][0]["model"]["engine"] == "litert"
    assert any("ai_edge_litert" in name for name in said["opened"])
    heavy = ("tensorflow", "keras", "h5py", "boto3", "botocore", "numpy", "classifier/captures", "email")
    unasked = ("classifier.callers", "classifier.bundles.canary", "classifier.engines.canary")
    assert [
        name for name in said["opened"] if name in (*heavy, *unasked) or any(f"/{one}/" in name for one in heavy)
    ] == []


BULK = (
    ASK.replace("classify(event", "classify_bulk(event").partition("codes =")[0]
    + """
print(json.dumps({"answers": answers, "opened": [name for name in sys.argv[1:] if name in sys.modules]}))
"""
)


@pytest.mark.tensorflow
def test_bulk_needs_no_numpy_either(compiled: Bucket, tmp_path: Path) -> None:
    compiled.put("images/a.png", encoded(photo(), "PNG"))
    event = {"BatchInput": {"run": "one"}, "Items": [{"Key": "images/a.png", "Size": 1, "Etag": '"a"'}]}
    said = _served(BULK, [event], compiled, tmp_path, IMAGE_BUCKET=compiled.name, IMAGE_PREFIX="images/")
    assert said["opened"] == []
    assert (said["answers"][0]["pictures"], said["answers"][0]["refused"]) == (1, 0)


AFTER_INIT = (
    """
import sys

import handler

loaded = handler._app()._loader.current
before = set(sys.modules)
"""
    + ASK
    + """
print(json.dumps({"codes": codes, "engine": loaded and loaded.engine.name, "new": sorted(set(sys.modules) - before)}))
"""
)


@pytest.mark.tensorflow
def test_init_loads_the_model_and_leaves_nothing_to_import_to_a_first_picture(compiled: Bucket, tmp_path: Path) -> None:
    link = _event("imagelink=http://10.0.0.1/a.jpg")
    said = _served(AFTER_INIT, [link, *map(_upload, FORMATS)], compiled, tmp_path)
    assert said == {"codes": ["url_host_not_allowed", *[None] * len(FORMATS)], "engine": "litert", "new": []}


@pytest.mark.tensorflow
def test_init_leaves_tensorflow_to_the_first_request(bucket: Bucket, tmp_path: Path) -> None:
    put(bucket, KINDS["sequential"].make())
    said = _served(AFTER_INIT, [_event(path="/health")], bucket, tmp_path)
    assert said == {"codes": [None], "engine": None, "new": []}


def test_init_does_not_fail_because_s3_does(tmp_path: Path) -> None:
    said = _said(AFTER_INIT, [_event(path="/health")], tmp_path, _HANDLER="handler.classify")
    assert said == {"codes": [None], "engine": None, "new": []}
