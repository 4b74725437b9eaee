"""Which engine opens a bundle: real reports on moto's S3, with engines that only say who they are."""

from __future__ import annotations

import hashlib
import json

import pytest

from classifier.errors import ModelError, ModelLoadingError
from tests.conftest import Bucket
from tests.support.openers import PREFIX, World, engine_of
from tests.support.openers import allowed as allowed
from tests.support.openers import world as world


def test_a_cold_function_takes_the_compiled_form_and_never_reads_the_weights(world: World) -> None:
    world.put_compiled()
    world.bucket.server.requests.clear()
    assert engine_of(world.open()) == "litert"
    assert not any("weights" in request.path for request in world.bucket.server.requests)


def test_a_cold_function_takes_tensorflow_when_nothing_is_compiled_yet(world: World) -> None:
    assert engine_of(world.open()) == "tensorflow"


def test_the_version_is_the_same_by_either_engine(world: World) -> None:
    reference = world.open()
    world.put_compiled()
    compiled = world.open()
    assert reference is not None
    assert compiled is not None
    assert reference.version == compiled.version


def test_a_warm_function_moves_to_the_compiled_form_when_it_appears(world: World) -> None:
    warm = world.open()
    assert world.open(warm) is None
    world.put_compiled()
    assert engine_of(world.open(warm)) == "litert"


def test_a_warm_function_waits_for_a_new_bundles_compiled_form(world: World) -> None:
    world.put_compiled()
    warm = world.open()
    world.swap("two")
    assert world.open(warm) is None
    world.put_compiled()
    assert engine_of(world.open(warm)) == "litert"


def test_its_patience_ends(bucket: Bucket) -> None:
    world = World(bucket, patience_s=0)
    world.swap("one")
    warm = world.open()
    world.swap("two")
    assert engine_of(world.open(warm)) == "tensorflow"


def test_a_report_that_refuses_ends_the_waiting(world: World) -> None:
    warm = world.open()
    world.swap("two")
    world.put_compiled(usable=False)
    assert engine_of(world.open(warm)) == "tensorflow"


def test_a_compiled_form_of_other_objects_is_never_taken(world: World) -> None:
    world.put_compiled()
    world.swap("two")
    assert engine_of(world.open()) == "tensorflow"


def test_a_compiled_form_that_is_not_what_its_report_is_about_is_refused(world: World) -> None:
    world.put_compiled(model=b"other bytes")
    assert engine_of(world.open()) == "tensorflow"


def test_the_same_content_put_again_keeps_the_engine(world: World) -> None:
    world.put_compiled()
    warm = world.open()
    world.swap("one")
    assert world.open(warm) is None


@pytest.mark.parametrize(("engine", "expected"), [("tensorflow", "tensorflow"), ("litert", "litert")])
def test_the_setting_decides(bucket: Bucket, engine: str, expected: str) -> None:
    world = World(bucket, engine)
    world.swap("one")
    world.put_compiled()
    assert engine_of(world.open()) == expected


def test_litert_alone_waits_for_the_compiled_form(bucket: Bucket) -> None:
    world = World(bucket, "litert")
    world.swap("one")
    with pytest.raises(ModelLoadingError, match="no compiled form"):
        world.open()
    world.put_compiled()
    warm = world.open()
    world.swap("two")
    assert world.open(warm) is None
    world.put_compiled(usable=False)
    assert world.open(warm) is None
    with pytest.raises(ModelError, match="scores differ"):
        world.open()


def test_labels_in_two_places_do_not_hide_the_compiled_form_of_a_published_bundle(world: World) -> None:
    """Its objects' SHA-256 are known then, but which of them count is not."""
    world.bucket.put(PREFIX + "labels.txt", b"cat\ndog")
    world.bucket.put(PREFIX + "serving.json", b'{"labels": ["cat", "dog"]}')
    world.put_compiled()
    newest = world.snapshot()
    published = {
        part.key.removeprefix(PREFIX): {
            "key": part.key,
            "etag": part.etag,
            "version_id": world.bucket.boto.head_object(Bucket=world.bucket.name, Key=part.key)["VersionId"],
            "size": part.size,
            "sha256": hashlib.sha256(
                world.bucket.boto.get_object(Bucket=world.bucket.name, Key=part.key)["Body"].read()
            ).hexdigest(),
        }
        for part in newest.parts
    }
    world.bucket.put(PREFIX + "published.json", json.dumps({"objects": published}).encode())
    assert engine_of(world.open()) == "litert"
