"""Which compiled forms the compile function makes, makes again or leaves alone, and what it says when it cannot."""

from __future__ import annotations

import hashlib
import json
import re
from copy import replace
from typing import Any

import pytest

from classifier.bundles.compiled import MODEL, REPORT, key_of, parse_report
from classifier.compiling.compile_job import MAX_PROBES
from classifier.errors import ModelError
from tests.conftest import Bucket
from tests.support.compile_jobs import MOST_BYTES, PREFIX, StandIn, World
from tests.support.compile_jobs import compiling as compiling
from tests.support.compile_jobs import world as world


def test_the_same_content_under_new_objects_is_known(world: World, compiling: StandIn) -> None:
    world.run()
    world.bucket.boto.delete_object(Bucket=world.bucket.name, Key=PREFIX + "weights.h5")
    world.bucket.put(PREFIX + "model.weights.h5", b"one")
    world.run()
    assert len(compiling.done) == 1
    assert world.found() is not None


@pytest.mark.parametrize(
    ("edited", "kept"),
    [
        ({"labels": ["cat", "dog"], "threshold": 0.9, "top_k": 1, "title": "Pets"}, True),
        ({"labels": ["cat", "dog", "owl"]}, False),  # for two scores: that is refused, not served
        ({"temperature": 0.1}, False),
        ({"output": "sigmoid"}, False),
        ({"preprocessing": {"scale": "tf"}}, False),
    ],
)
def test_a_serving_json_edited_by_hand_keeps_the_form_where_it_says_the_same_of_the_numbers(
    world: World, compiling: StandIn, edited: dict[str, Any], *, kept: bool
) -> None:
    before = world.run()["version"]
    world.bucket.put(PREFIX + "serving.json", json.dumps(edited).encode())
    version = world.run()["version"]
    assert compiling.done == ([before] if kept else [before, version])
    found = world.found()
    assert found is not None
    assert (found.fingerprint, version != before, world.written(MODEL)) == (version, True, 2)
    if kept:
        assert found.serving == json.dumps(edited)
        assert world.run()["result"] == "compiled before"


@pytest.mark.parametrize("changed", ["weights", "damage", "smaller forms"])
def test_a_form_is_not_kept_for_other_weights_or_when_damaged_or_without_the_forms_asked_for(
    world: World, compiling: StandIn, changed: str
) -> None:
    before = world.run()["version"]
    world.bucket.put(PREFIX + "serving.json", b'{"labels": ["cat", "dog"]}')
    if changed == "weights":
        world.swap("two")
    elif changed == "damage":
        world.bucket.put(key_of(PREFIX, before, MODEL), b"half of i")
    done = world.run(*(["float16"] if changed == "smaller forms" else []))
    assert compiling.done == [before, done["version"]]


@pytest.mark.parametrize("damage", ["other bytes", "gone", "report"])
def test_a_damaged_form_is_made_again(world: World, compiling: StandIn, damage: str) -> None:
    version = world.run()["version"]
    if damage == "gone":
        world.bucket.boto.delete_object(Bucket=world.bucket.name, Key=key_of(PREFIX, version, MODEL))
    else:
        world.bucket.put(key_of(PREFIX, version, MODEL if damage == "other bytes" else REPORT), b"half of i")
    assert world.run()["result"] == "compiled"
    assert len(compiling.done) == 2
    assert world.found() is not None


def test_a_form_that_only_its_publisher_could_make_is_left_alone(world: World, compiling: StandIn) -> None:
    version = world.run()["version"]
    key = key_of(PREFIX, version, REPORT)
    stored = parse_report(world.bucket.boto.get_object(Bucket=world.bucket.name, Key=key)["Body"].read())
    only = replace(stored, measured={**stored.measured, "compiled_only": True})
    world.bucket.put(key, only.to_json())
    world.bucket.put(key_of(PREFIX, version, MODEL), b"damaged")
    assert world.run("float16")["result"] == "compiled before"
    assert len(compiling.done) == 1


def test_such_a_form_is_kept_when_its_labels_are_edited(world: World, compiling: StandIn) -> None:
    version = world.run()["version"]
    key = key_of(PREFIX, version, REPORT)
    stored = parse_report(world.bucket.boto.get_object(Bucket=world.bucket.name, Key=key)["Body"].read())
    world.bucket.put(key, replace(stored, measured={**stored.measured, "compiled_only": True}).to_json())
    world.bucket.put(PREFIX + "serving.json", b'{"labels": ["cat", "dog"]}')
    assert world.run()["usable"]
    assert compiling.done == [version]
    found = world.found()
    assert found is not None
    assert (found.compiled_only, found.fingerprint != version) == (True, True)


def test_smaller_forms_that_are_asked_for_later_are_added(world: World) -> None:
    version = world.run()["version"]
    assert world.run("float16")["result"] == "compiled"
    found = world.found()
    assert found is not None
    assert {*found.measured} == {"float32", "float16"}
    assert world.written(MODEL) == 1
    assert world.bucket.boto.head_object(Bucket=world.bucket.name, Key=key_of(PREFIX, version, "model.float16.tflite"))
    assert world.run("float16")["result"] == "compiled before"


def test_a_broken_bundle_gets_a_report_once(world: World, compiling: StandIn) -> None:
    world.swap("broken")
    done = world.run()
    assert (done["usable"], done["reason"]) == (False, "model_invalid: broken weights")
    assert world.run()["result"] == "compiled before"
    assert len(compiling.done) == 1


@pytest.mark.parametrize(
    ("key", "data", "reason"),
    [
        ("published.json", b"{", "model_invalid: .*published.json can.t be read"),
        ("weights.h5", bytes(MOST_BYTES), "model_too_large"),
    ],
)
def test_what_cannot_even_be_read_is_a_result_and_no_crash(world: World, key: str, data: bytes, reason: str) -> None:
    world.bucket.put(PREFIX + key, data)
    done = world.run()
    assert (done["result"], done["usable"]) == ("not readable", False)
    assert re.match(reason, done["reason"])


def test_running_out_of_memory_says_nothing_of_the_model(world: World, compiling: StandIn) -> None:
    def exhausted() -> None:
        raise ModelError("Keras can't run the model") from MemoryError()

    compiling.meanwhile = [exhausted]
    with pytest.raises(ModelError):
        world.run()
    assert world.found() is None
    assert world.run()["usable"]


def test_probes_that_cannot_be_read_are_left_out(world: World, compiling: StandIn) -> None:
    from classifier.pictures.headers.picture import ImageLimits

    pictures = {"a.jpg": b"a picture", "b.jpg": b"denied", "c.jpg": bytes(ImageLimits().max_bytes + 1), "folder/": b""}
    for name, data in pictures.items():
        world.bucket.put(f"{PREFIX}probes/{name}", data)
    world.bucket.server.denying = lambda request: request.path.endswith("b.jpg")
    assert world.run()["usable"]
    assert compiling.pictures == [b"a picture"]
    assert len(pictures) < MAX_PROBES


def test_published_with_labels_in_two_places_it_comes_to_an_end(world: World, compiling: StandIn) -> None:
    world.bucket.put(PREFIX + "labels.txt", b"cat\ndog")
    world.bucket.put(PREFIX + "serving.json", b'{"labels": ["cat", "dog"]}')
    names = ("architecture.json", "weights.h5", "labels.txt", "serving.json")
    published = {name: pinned(world.bucket, PREFIX + name) for name in names}
    world.bucket.put(PREFIX + "published.json", json.dumps({"objects": published}).encode())
    assert world.run()["usable"]
    assert world.run()["result"] == "compiled before"
    assert len(compiling.done) == 1


def pinned(bucket: Bucket, key: str) -> dict[str, Any]:
    """What `published.json` says of an object."""
    answer = bucket.boto.get_object(Bucket=bucket.name, Key=key)
    data = answer["Body"].read()
    known = {"etag": answer["ETag"], "version_id": answer["VersionId"], "size": len(data)}
    return {"key": key, **known, "sha256": hashlib.sha256(data).hexdigest()}
