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

import pytest

from classifier.bundles.store import ModelStore
from classifier.compiling.compile_job import CompileJob
from local.launch import PROJECT
from tests.conftest import Bucket
from tests.support.model_kinds import KINDS, PREFIX, put
from tests.support.pictures import encoded, photo

HEAVY = ("numpy", "PIL", "tensorflow", "keras", "h5py", "boto3", "botocore", "ai_edge_litert")
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
print(json.dumps({"answers": [json.loads(answer["body"]) for answer in answers], "opened": [*opened, *mapped]}))
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


@pytest.mark.tensorflow
def test_the_fast_path_opens_no_file_of_tensorflow(bucket: Bucket, tmp_path: Path) -> None:
    put(bucket, KINDS["sequential"].make())
    store = ModelStore.at(bucket.s3, bucket.name, PREFIX, settle_s=0, max_bytes=10**8)
    assert CompileJob(store).run(time.monotonic() + 120)["usable"]
    picture = base64.b64encode(encoded(photo(), "PNG")).decode()
    places = {"MODEL_BUCKET": bucket.name, "AWS_ENDPOINT_URL": bucket.endpoint_url, "SWAP_SETTLE_SECONDS": "0"}

    said = _said(WATCH + ASK + TELL, [_event(method="POST", body=picture, isBase64Encoded=True)], tmp_path, **places)

    assert said["answers"][0]["model"]["engine"] == "litert"
    assert any("ai_edge_litert" in name for name in said["opened"])
    heavy = ("tensorflow", "keras", "h5py", "boto3", "botocore")
    assert [name for name in said["opened"] if name in heavy or any(f"/{one}/" in name for one in heavy)] == []
