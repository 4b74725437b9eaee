"""Class activation maps of real models, compiled, published and asked for, against what Keras gives place by place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from classifier.bundles.bundle import Snapshot
from classifier.bundles.compiled import EXPLAIN, HEAD
from classifier.bundles.store import ModelStore
from classifier.compiling.compile_job import CompileJob
from classifier.compiling.explain_form import checked_head
from classifier.engines.keras_engine import open_keras
from classifier.engines.litert_engine import open_litert
from classifier.engines.opening import LoadedModel, Opener
from classifier.explaining.explanation import Answered, answer, explained
from classifier.pictures.headers.picture import ImageLimits
from classifier.pictures.render import DecodedImage
from classifier.web.sources import Explain
from tests.support.model_kinds import PICTURE, PREFIX, drawn, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Bucket

pytestmark = pytest.mark.tensorflow


def soon() -> float:
    return time.monotonic() + 120


def made(end: Callable[[Any], Any], shape: tuple[int, ...] = PICTURE) -> tuple[Any, Any]:
    """A model whose last feature map `end` makes scores of, and the model of that map."""
    import keras
    from keras import layers

    picture = keras.Input(shape)
    features = layers.Conv2D(6, 3, activation="relu", padding="same")(layers.Rescaling(1 / 255)(picture))
    features = layers.Conv2D(5, 3, activation="relu", name="last_conv")(features)
    model = drawn(keras.Model(picture, end(features)))
    return model, keras.Model(picture, features)


def pooled(*rest: Any) -> Callable[[Any], Any]:
    from keras import layers

    def end(features: Any) -> Any:
        tensor = layers.GlobalAveragePooling2D()(features)
        for layer in rest:
            tensor = layer(tensor)
        return tensor

    return end


def compiled(bucket: Bucket, model: Any, serving: dict[str, Any] | None = None) -> tuple[LoadedModel, dict[str, Any]]:
    """The model as a function serves it from S3, and what its report says of explaining."""
    put(bucket, model, serving)
    return served_from(bucket)


def served_from(bucket: Bucket) -> tuple[LoadedModel, dict[str, Any]]:
    store = ModelStore.at(bucket.s3, bucket.name, PREFIX, settle_s=0, max_bytes=10**8)
    done = CompileJob(store).run(soon())
    assert done["usable"], done
    view = store.bundles.look(soon())
    assert isinstance(view.newest, Snapshot)
    report = store.compiled.report_for(view.newest, view.reports, soon())
    assert report is not None
    opener = Opener(store.bundles, store.compiled, open_keras, open_litert, engine="litert", patience_s=0)
    loaded = opener.open(view.newest, view, None, soon())
    assert loaded is not None
    return loaded, report.measured[EXPLAIN]


def some_picture(shape: tuple[int, ...] = PICTURE) -> Any:
    return np.random.default_rng(5).integers(0, 256, (1, *shape)).astype(np.float32)


def explanation(model: LoadedModel, picture: Any, label: str | None = None) -> dict[str, Any]:
    _, height, width, _ = picture.shape
    seen = DecodedImage(b"", "PNG", width, height)
    checked: Any = None  # the file is needed for an overlay only
    raw, places = answer(model, memoryview(picture), soon())
    assert raw == model.engine.predict(picture)
    answered = Answered(checked, seen, memoryview(picture), raw, places)
    found: dict[str, Any] = explained(Explain(label), model, answered, ImageLimits(), soon())["explanation"]
    return found


def of_places(model: LoadedModel, picture: Any, unit: int) -> Any:
    _, places = answer(model, memoryview(picture), soon())
    assert places is not None
    return np.array(places.of(unit))


def scaled(map_: Any) -> Any:
    return (map_ - map_.min()) / (map_.max() - map_.min())


def weights_of(model: Any) -> tuple[Any, Any]:
    kernel, bias = model.layers[-1].get_weights()
    return kernel.reshape(-1, kernel.shape[-1]), bias


def test_the_map_is_kerass_last_feature_map_times_the_dense_weights(bucket: Bucket) -> None:
    from keras import layers

    model, features = made(pooled(layers.Dropout(0.3), layers.Dense(3, activation="softmax")))
    served, said = compiled(bucket, model, {"labels": ["cat", "dog", "owl"]})
    assert (said["reason"], said["places"]) == ("", [14, 14])
    assert said["bytes"] < 30_000
    picture = some_picture()
    kernel, bias = weights_of(model)
    maps = np.asarray(features(picture))[0] @ kernel
    logits = np.log(np.asarray(model(picture))[0])
    for unit, label in enumerate(("cat", "dog", "owl")):
        own = of_places(served, picture, unit)
        np.testing.assert_allclose(own - bias[unit], maps[..., unit], atol=1e-4)
        found = explanation(served, picture, label)
        assert (found["label"], found["method"], found["box"]) == (label, "class activation map", [0, 0, 1, 1])
        np.testing.assert_allclose(found["map"], scaled(maps[..., unit]), atol=6e-4)  # three digits
    # The average of the unnormalised map, and the bias, is the logit: softmax knows logits but for a constant.
    averages = maps.mean((0, 1)) + bias
    np.testing.assert_allclose(averages - averages[0], logits - logits[0], atol=1e-4)
    best = explanation(served, picture)["label"]
    assert best == ("cat", "dog", "owl")[int(np.argmax(averages))]


def test_the_mean_of_the_local_logits_is_the_logit(bucket: Bucket) -> None:
    """For a model that gives its logits; and a batch normalization between pooling and dense is linear, too."""
    from keras import layers

    model, _ = made(pooled(layers.BatchNormalization(), layers.Dense(3)), (40, 24, 3))
    served, said = compiled(bucket, model, {"output": "logits"})
    assert said["places"] == [38, 22]
    picture = some_picture((40, 24, 3))
    expected = np.asarray(model(picture, training=False))[0]
    for unit in range(3):
        own = of_places(served, picture, unit)
        assert own.mean() == pytest.approx(expected[unit], abs=1e-4)
    found = np.array(explanation(served, picture)["map"])
    assert found.shape == (16, 16)
    assert (found.min(), found.max()) == (0, 1)


def test_of_two_labels_of_one_unit_each_is_the_others_opposite(bucket: Bucket) -> None:
    from keras import layers

    model, features = made(pooled(layers.Dense(1, activation="sigmoid")))
    served, _ = compiled(bucket, model, {"labels": ["no", "yes"]})
    picture = some_picture()
    kernel, _ = weights_of(model)
    maps = (np.asarray(features(picture))[0] @ kernel)[..., 0]
    np.testing.assert_allclose(explanation(served, picture, "yes")["map"], scaled(maps), atol=6e-4)
    np.testing.assert_allclose(explanation(served, picture, "no")["map"], scaled(-maps), atol=6e-4)


def test_labels_edited_by_hand_get_the_same_form_with_its_map(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    from keras import layers

    model, _ = made(pooled(layers.Dense(2, activation="softmax")))
    before, _ = compiled(bucket, model, {"labels": ["no", "yes"], "output": "softmax"})
    bucket.put(PREFIX + "serving.json", b'{"labels": ["nein", "ja"], "output": "softmax"}')
    monkeypatch.setattr("classifier.compiling.compile_job.compile_bundle", None)
    after, said = served_from(bucket)
    picture = some_picture()
    assert (after.version != before.version, said["reason"]) == (True, "")
    assert after.engine.predict(picture) == before.engine.predict(picture)
    assert explanation(after, picture, "ja") == explanation(before, picture, "yes") | {"label": "ja"}


def test_a_convolution_of_one_pixel_is_a_dense_layer(bucket: Bucket) -> None:
    from keras import layers

    def end(features: Any) -> Any:
        tensor = layers.GlobalAveragePooling2D(keepdims=True)(features)
        return layers.Softmax()(layers.Flatten()(layers.Conv2D(4, 1)(tensor)))

    model, features = made(end)
    served, said = compiled(bucket, model)
    assert said["reason"] == ""
    picture = some_picture()
    kernel, _ = next(layer for layer in reversed(model.layers) if layer.get_weights()).get_weights()
    maps = np.asarray(features(picture))[0] @ kernel[0, 0]
    np.testing.assert_allclose(explanation(served, picture, "2")["map"], scaled(maps[..., 2]), atol=6e-4)


@pytest.mark.parametrize("ending", ["flat", "hidden", "largest"])
def test_any_other_ending_is_named_and_explained_by_occlusion(ending: str, bucket: Bucket) -> None:
    from keras import layers

    last = layers.Dense(3, activation="softmax")
    ends: dict[str, Callable[[Any], Any]] = {
        "flat": lambda features: last(layers.Flatten()(features)),
        "hidden": pooled(layers.Dense(8, activation="relu"), last),
        "largest": lambda features: last(layers.GlobalMaxPooling2D()(features)),
    }
    model, _ = made(ends[ending])
    served, said = compiled(bucket, model)
    assert "global average pooling" in said["reason"]
    assert served.read_head is None
    assert not [key for key in bucket.boto.list_objects_v2(Bucket=bucket.name)["Contents"] if HEAD in key["Key"]]
    found = explanation(served, some_picture())
    assert (found["method"], len(found["map"])) == ("occlusion", 16)


@pytest.mark.parametrize("model", [b"", b"no FlatBuffer at all", bytes(4000)], ids=len)
def test_a_model_that_cannot_be_taken_apart_goes_without(model: bytes) -> None:
    head, said = checked_head(model, [some_picture()], 1)
    assert head is None
    assert said["reason"].startswith(("it can't be made", "it has not one"))
