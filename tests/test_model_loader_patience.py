"""A function that starts right after a swap does what warm ones do: the older compiled form serves, until the new one's
is there or patience ends. Real reports on moto's S3, with engines that only say who they are.
"""

from __future__ import annotations

import time

import pytest

from classifier.bundles.compiled import MODEL, REPORT, key_of
from classifier.errors import ModelError, ModelLoadingError
from model_loader import ModelLoader
from tests.conftest import Bucket
from tests.support.openers import PREFIX, World, soon
from tests.support.openers import allowed as allowed

NEXT_SECOND_S = 1.1
"""S3's times are whole seconds: what is written within one is one moment of the history."""


def swapped(bucket: Bucket, engine: str = "auto", patience_s: float = 3600, *, compiled: bool = True) -> World:
    """A bucket whose first bundle was compiled and whose second one was not yet."""
    world = World(bucket, engine, patience_s)
    world.swap("one")
    if compiled:
        world.put_compiled()
    time.sleep(NEXT_SECOND_S)
    world.swap("two")
    return world


def cold(world: World) -> ModelLoader:
    return ModelLoader(world.store.bundles, world.opener, check_s=0, reload_wait_s=5)


def served(models: ModelLoader) -> tuple[str, str]:
    model = models.acquire(soon())
    return model.engine.name, model.version


def version(world: World) -> str:
    """Of the newest bundle."""
    return world.store.bundles.read(world.snapshot(), soon()).fingerprint


def test_the_older_compiled_form_serves_until_the_new_one_is_there(bucket: Bucket) -> None:
    world = swapped(bucket)
    models = cold(world)
    engine, first = served(models)
    assert (engine, first != version(world)) == ("litert", True)
    assert served(models) == ("litert", first)
    world.put_compiled()
    assert served(models) == ("litert", version(world))
    assert served(cold(world)) == ("litert", version(world))


def test_a_warm_function_and_a_cold_one_agree(bucket: Bucket) -> None:
    world = World(bucket)
    world.swap("one")
    world.put_compiled()
    warm = cold(world)
    served(warm)
    time.sleep(NEXT_SECOND_S)
    world.swap("two")
    assert served(cold(world)) == served(warm)


def test_patience_ends(bucket: Bucket) -> None:
    world = swapped(bucket, patience_s=0)
    assert served(cold(world)) == ("tensorflow", version(world))


def test_a_report_that_refuses_ends_it_too(bucket: Bucket) -> None:
    world = swapped(bucket)
    world.put_compiled(usable=False)
    assert served(cold(world)) == ("tensorflow", version(world))


def test_without_an_older_compiled_form_nobody_waits(bucket: Bucket) -> None:
    world = swapped(bucket, compiled=False)
    assert served(cold(world)) == ("tensorflow", version(world))


def test_one_behind_a_bundle_that_was_never_compiled_is_found(bucket: Bucket) -> None:
    world = swapped(bucket)
    time.sleep(NEXT_SECOND_S)
    world.swap("three")
    engine, found = served(cold(world))
    assert (engine, found != version(world)) == ("litert", True)


def test_tensorflow_alone_never_looks_for_one(bucket: Bucket) -> None:
    world = swapped(bucket, "tensorflow")
    assert served(cold(world)) == ("tensorflow", version(world))


@pytest.mark.parametrize("compiled", [True, False])
def test_litert_alone_serves_the_older_one_whatever_its_age(bucket: Bucket, *, compiled: bool) -> None:
    models = cold(swapped(bucket, "litert", patience_s=0, compiled=compiled))
    if compiled:
        assert served(models)[0] == "litert"
    else:
        with pytest.raises(ModelLoadingError):
            models.acquire(soon())


def test_a_warm_function_waits_for_the_older_ones_form_while_the_newest_is_refused(bucket: Bucket) -> None:
    world = World(bucket)
    world.swap("one")
    world.put_compiled()
    models = cold(world)
    first = served(models)
    time.sleep(NEXT_SECOND_S)
    world.swap("two")
    two = version(world)
    world.put_compiled()
    names = [key_of(PREFIX, two, name) for name in (MODEL, REPORT)]
    forms = {key: bucket.boto.get_object(Bucket=bucket.name, Key=key)["Body"].read() for key in names}
    for key in names:
        bucket.boto.delete_object(Bucket=bucket.name, Key=key)
    time.sleep(NEXT_SECOND_S)
    world.swap("three")
    world.put_compiled(usable=False)
    world.keras_fails = ModelError("nothing serves this")
    assert [served(models), served(models), served(cold(world))] == [first] * 3
    for key, data in forms.items():
        bucket.put(key, data)
    assert [served(models), served(cold(world))] == [("litert", two)] * 2
