"""The bridge for who comes from Flask, or outgrows Lambda: the same bundle, the same scores, in a small file."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

from local.launch import PROJECT
from local.seed import read_bundle, seed_bundle
from tests.support.demo import BUNDLE, SAMPLES, plain_keras

if TYPE_CHECKING:
    from tests.conftest import Bucket

EXAMPLE = PROJECT / "examples" / "flask" / "app.py"


@pytest.mark.tensorflow
def test_flask_serves_the_bundle_with_keras_scores_and_says_what_is_wrong(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("flask_example", EXAMPLE)
    assert spec
    assert spec.loader
    example: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    version = seed_bundle(bucket.boto, bucket.name, "models/dev/", read_bundle(BUNDLE), source="here")
    environ = {"MODEL_BUCKET": bucket.name, "AWS_ENDPOINT_URL_S3": bucket.endpoint_url, "AWS_REGION": "us-east-1"}
    client = example.create_app(environ).test_client()
    assert b"multipart/form-data" in client.get("/").data
    with SAMPLES[0].open("rb") as picture:
        reply = client.post("/classify", data={"file": (picture, "a.jpg")}).json
    assert reply["model"]["version"] == version
    best = max(plain_keras()[SAMPLES[0].name])
    assert reply["predictions"][0]["score"] == pytest.approx(best, abs=1e-5)
    nothing = client.post("/classify")
    assert (nothing.status_code, nothing.json["error"]["code"]) == (400, "missing_input")


def test_the_example_stays_small() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 60
