"""What would not fit the function's memory is refused before it begins: nothing is pulled, nothing is opened."""

from __future__ import annotations

import pytest

from classifier import function_memory
from classifier.errors import ModelLoadingError, ModelTooLargeError
from classifier.model_memory import IDLE_MB, LITERT, MB, TENSORFLOW
from model_loader import ModelLoader
from tests.conftest import Bucket
from tests.support.openers import World, engine_of, soon

FOR_LITERT = LITERT.base_mb + 1
FOR_TENSORFLOW = TENSORFLOW.base_mb + 1


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_memory, "resident", lambda: IDLE_MB * MB)


def world_of(bucket: Bucket, megabytes: int, patience_s: float = 3600) -> World:
    world = World(bucket, patience_s=patience_s, memory=megabytes * MB)
    world.swap("one")
    return world


def test_a_compiled_form_that_does_not_fit_is_not_even_pulled(bucket: Bucket) -> None:
    world = world_of(bucket, LITERT.base_mb)
    world.put_compiled()
    bucket.server.requests.clear()
    with pytest.raises(ModelTooLargeError, match=r"LiteRT needs 46 MB .* has 45 MB: raise the parameter `memory`"):
        world.open()
    assert not any("tflite" in request.path or "weights" in request.path for request in bucket.server.requests)


def test_tensorflow_is_not_begun_where_it_does_not_fit(bucket: Bucket) -> None:
    world = world_of(bucket, TENSORFLOW.base_mb, patience_s=0)
    bucket.server.requests.clear()
    with pytest.raises(
        ModelTooLargeError, match=r"TensorFlow needs at least 351 MB .* has 350 MB: raise the parameter `memory`"
    ):
        world.open()
    assert not any(request.path.endswith("weights.h5") for request in bucket.server.requests)
    assert engine_of(world_of(bucket, FOR_TENSORFLOW, patience_s=0).open()) == "tensorflow"


def test_while_a_compiled_form_that_may_fit_is_made_a_cold_function_is_loading(bucket: Bucket) -> None:
    world = world_of(bucket, FOR_LITERT)
    with pytest.raises(ModelLoadingError, match="its compiled form may fit, and is not there yet"):
        world.open()
    world.put_compiled()
    assert engine_of(world.open()) == "litert"


def test_the_old_model_serves_until_a_form_that_fits_is_there(bucket: Bucket) -> None:
    """Nothing is refused for good: a report more is a new situation."""
    world = world_of(bucket, FOR_LITERT, patience_s=0)
    world.put_compiled()
    loader = ModelLoader(world.store.bundles, world.opener, check_s=0, reload_wait_s=10)
    old = loader.acquire(soon())
    world.swap("two")
    assert loader.acquire(soon()).version == old.version
    bucket.server.requests.clear()
    assert loader.acquire(soon()).version == old.version
    assert len(bucket.server.requests) == 1  # a look, and no attempt
    world.put_compiled()
    assert loader.acquire(soon()).version != old.version


def test_what_turns_out_too_large_only_when_it_is_read_waits_too_and_is_not_read_again(bucket: Bucket) -> None:
    """A file that somebody copied tells little by its size: it may hold a training's state, or packed weights."""
    world = world_of(bucket, FOR_TENSORFLOW)
    world.keras_fails = ModelTooLargeError("TensorFlow needs more")
    with pytest.raises(ModelLoadingError, match="TensorFlow needs more; its compiled form may fit"):
        world.open()
    bucket.server.requests.clear()
    with pytest.raises(ModelLoadingError):
        world.open()
    assert not any(request.path.endswith("weights.h5") for request in bucket.server.requests)
    world.put_compiled()
    assert engine_of(world.open()) == "litert"
