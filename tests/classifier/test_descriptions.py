"""What GET /model tells beyond what the model itself says."""

from __future__ import annotations

import json
import time
from copy import replace
from typing import TYPE_CHECKING, Any

import pytest

from classifier.bundles.serving import ModelShape, parse_serving
from classifier.descriptions import Descriptions
from classifier.settings import Settings
from tests.support.application import MODEL

if TYPE_CHECKING:
    from tests.conftest import Bucket

PLAIN = ["name", "version", "engine", "labels", "output", "output_known", "top_k"]
PLAIN += ["input_shape", "preprocessing", "published"]

SHAPE = ModelShape(8, 8, 3, 2, "softmax")


def told(bucket: Bucket, name: str = "things", **environ: str) -> dict[str, Any]:
    settings = Settings.from_env({"MODEL_BUCKET": bucket.name, "MODEL_NAME": "things", **environ})
    return Descriptions(bucket.s3, settings).of(MODEL, name, time.monotonic() + 10)


def mark(bucket: Bucket, document: object, folder: str = "") -> None:
    bucket.put(f"models/dev/{folder}versions/{MODEL.version}/verified.json", json.dumps(document).encode())


def test_what_nobody_set_or_measured_has_no_field(bucket: Bucket) -> None:
    assert list(told(bucket)) == PLAIN


def test_the_accuracy_is_that_of_the_worse_engine(bucket: Bucket) -> None:
    mark(bucket, {"passed": True, "accuracy": {"tensorflow": 0.92, "litert": 0.91}})
    mark(bucket, {"passed": True, "accuracy": {"litert": 0.5}}, "cats/")
    assert told(bucket)["accuracy"] == 0.91
    assert told(bucket, "cats")["accuracy"] == 0.5


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"accuracy": {}},
        {"accuracy": 1},
        {"accuracy": {"litert": "high"}},
        {"accuracy": {"litert": 9.5}},
        {"accuracy": None},
    ],
)
def test_a_mark_that_tells_none_is_none(bucket: Bucket, document: object) -> None:
    mark(bucket, document)
    assert list(told(bucket)) == PLAIN


def test_it_is_looked_for_once_in_five_minutes(bucket: Bucket) -> None:
    settings = Settings.from_env({"MODEL_BUCKET": bucket.name})
    kept = Descriptions(bucket.s3, settings)
    bucket.server.requests.clear()
    for _ in range(3):
        assert "accuracy" not in kept.of(MODEL, "classifier", time.monotonic() + 10)
    assert len(bucket.server.requests) == 1


def test_other_models_are_told_with_the_own_one_first(bucket: Bucket) -> None:
    assert told(bucket, MODELS="cats, dogs,things")["models"] == ["things", "cats", "dogs"]
    assert "models" not in told(bucket, MODELS="things")


def test_title_description_and_card_are_those_of_serving_json(bucket: Bucket) -> None:
    words = {"title": "Things", "description": "Red or blue.", "card": "https://example.com/card"}
    settings = Settings.from_env({"MODEL_BUCKET": bucket.name})
    model = replace(MODEL, serving=parse_serving(json.dumps(words).encode(), b"red\nblue", SHAPE))
    document = Descriptions(bucket.s3, settings).of(model, "classifier", time.monotonic() + 10)
    assert {name: document[name] for name in words} == words
