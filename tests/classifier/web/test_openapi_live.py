"""The running service against its own description: schemathesis asks, in every way that the description allows."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from local.launch import PROJECT
from tests.support.demo import IMAGE_PREFIX, demo
from tests.support.origin import Origin, redirect, reply
from tests.support.pictures import encoded, photo

if TYPE_CHECKING:
    from local.s3 import LocalS3

pytestmark = [pytest.mark.lambda_, pytest.mark.tensorflow]
SIDE = 4
CONFIG = PROJECT / "tests" / "support" / "openapi" / "schemathesis.toml"
HAR = "asked.har"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
REACHED = {
    *("ambiguous_input", "invalid_request", "invalid_s3_key", "invalid_url", "method_not_allowed", "missing_input"),
    *("not_found", "s3_object_not_found", "unsupported_image_format", "url_host_not_allowed"),
}
"""Codes that must have been among the answers; else the requests have become too poor to prove anything."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model: what is asked here is the protocol."""
    import keras

    folder = tmp_path_factory.mktemp("bundle")
    layers = [keras.Input((SIDE, SIDE, 3)), keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential(layers)
    (folder / "architecture.json").write_text(model.to_json())
    model.save_weights(folder / "model.weights.h5")
    (folder / "labels.txt").write_text("eins\nzwei\ndrei ✓\n")
    return folder


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


def post(url: str, picture: bytes) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, picture), timeout=60) as answer:
        return json.load(answer)


def ask(url: str, there: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)),
        *("run", f"{url}/openapi.json", "--url", url, "--phases", "examples,coverage,fuzzing"),
        *("--checks", ",".join(CHECKS), "--continue-on-failure", "--max-examples", "10", "--generation-deterministic"),
        *("--no-shrink", "--suppress-health-check", "all", "--warnings", "off", "--no-color"),
        *("--report-har-path", HAR),
    ]
    values = {"SCHEMATHESIS_HOOKS": "tests.support.openapi.values", "API_VALUES": json.dumps(there)}
    environment = {**os.environ, **values, "PYTHONPATH": str(PROJECT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def seen(har: Path) -> tuple[set[tuple[str, str]], set[str]]:
    """The operations that were answered with 200, and the codes of all errors."""
    good, codes = set(), set()
    for entry in json.loads(har.read_text())["log"]["entries"]:
        path = re.sub(r"^http://[^/]+|[?].*", "", entry["request"]["url"])
        path = re.sub(r"/v1/models/[^/:]+", "/v1/models/{name}", path)
        path = re.sub(r"/(version|label)s/[^/:]+", r"/\1s/{\1}", path)
        answer = entry["response"]
        if answer["status"] == 200:
            good.add((entry["request"]["method"], path))
        elif "json" in answer["content"].get("mimeType", ""):
            error = json.loads(answer["content"]["text"])["error"]
            codes |= {error["code"]} if isinstance(error, dict) else set()
    return good, codes


def test_no_answer_is_other_than_described(s3_server: LocalS3, bundle: Path, tmp_path: Path) -> None:
    png, jpeg = (encoded(photo(), name) for name in ("PNG", "JPEG"))
    answers = {
        "/a.png": reply(png),
        "/text": reply(b"hello"),
        "/moved": redirect("/a.png"),
        "/away": redirect("http://10.0.0.1/"),
        "/short": reply(jpeg, length=len(jpeg) + 9),
    }
    refused = ("ftp://a.example/", "http://u:p@127.0.0.1/", "http://10.0.0.1/", "http:///")
    with (
        Origin(answers) as origin,
        demo(s3_server, "openapi", bundle, EXAMPLES_PREFIX="examples/", MODELS="cats", CAPTURE="1") as running,
    ):
        assert running.compile()["usable"]
        running.s3.put_object(Bucket=running.images, Key=f"{IMAGE_PREFIX}a b+c.png", Body=png)
        running.s3.put_object(Bucket=running.images, Key="examples/a.png", Body=png)
        url = running.cloud.url
        there = {
            "pictures": [base64.b64encode(data).decode() for data in (png, jpeg, jpeg[:200])],
            "links": [*map(origin.url, [*answers, "/missing"]), *refused],
            "keys": [f"{IMAGE_PREFIX}a b+c.png", f"{IMAGE_PREFIX}missing.png", "elsewhere/a.png"],
            "names": ["classifier", "classifier", "cats"],
            "versions": [int(get(f"{url}/v1/models/classifier")["model_version_status"][0]["version"])],
            "kept": post(f"{url}/classify", png)["request_id"],
            "row": np.zeros((SIDE, SIDE, 3)).tolist(),
        }
        assert get(f"{url}/model")["engine"] == "litert"
        api = get(f"{url}/openapi.json")
        done = ask(url, there, tmp_path)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    good, codes = seen(tmp_path / HAR)
    able = {(verb.upper(), path) for path, verbs in api["paths"].items() for verb in verbs if ":regress" not in path}
    assert able - good == {("GET", "/openapi.json")}  # which schemathesis gets before it begins
    assert REACHED - codes == set()
