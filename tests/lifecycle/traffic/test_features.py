"""The features of a real model's last but one layer, and what they show that labels and scores do not."""

from __future__ import annotations

import hashlib
import io
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from classifier.captures.capture import PREFIX, Captures
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from lifecycle import record
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.release import Release, as_bundle, put_release
from lifecycle.traffic.features import WIDTH, features_of
from lifecycle.traffic.reference import read_reference
from local.options import DEMO
from tests.conftest import Bucket
from tests.support.model_kinds import drawn
from tests.support.stand_ins import quietly

pytestmark = pytest.mark.tensorflow


def bundle_files(model: Any, folder: Path) -> dict[str, bytes]:
    model.save_weights(folder / "model.weights.h5")
    serving = b'{"output": "softmax", "preprocessing": {"scale": "none"}}'
    weights = (folder / "model.weights.h5").read_bytes()
    return {"architecture.json": model.to_json().encode(), "model.weights.h5": weights, "serving.json": serving}


@pytest.mark.parametrize("shape", [(12, 10, 3), (12, 10)])
def test_they_are_kerass_own_projected_by_signs_that_never_change(shape: tuple[int, ...], tmp_path: Path) -> None:
    import keras
    from keras import layers

    picture = keras.Input(shape)
    tensor = picture if len(shape) == 3 else layers.Reshape((*shape, 1))(picture)
    inner = layers.GlobalAveragePooling2D()(layers.Conv2D(7, 3, activation="relu")(tensor))
    scores = layers.Softmax()(layers.Dense(3)(layers.Dropout(0.5)(inner)))
    model = drawn(keras.Model(picture, scores))
    features = features_of(as_bundle(bundle_files(model, tmp_path)))
    assert features is not None
    given = np.random.default_rng(1).integers(0, 256, (1, 12, 10, 3 if len(shape) == 3 else 1)).astype(np.float32)
    own = np.asarray(keras.Model(picture, inner)(given.reshape(1, *shape)))[0]
    found = features(memoryview(given))
    bits = "".join(f"{byte:08b}" for byte in hashlib.shake_128(b"features").digest(7 * WIDTH // 8))
    signs = np.array([1 if bit == "1" else -1 for bit in bits]).reshape(7, WIDTH)
    np.testing.assert_allclose(found, own @ signs / np.sqrt(7), rtol=1e-3, atol=1e-3)


def test_a_model_of_one_layer_has_none(tmp_path: Path) -> None:
    import keras
    from keras import layers

    picture = keras.Input((12,))
    model = drawn(keras.Model(picture, layers.Dense(3, activation="softmax")(picture)))
    files = bundle_files(model, tmp_path) | {
        "serving.json": b'{"preprocessing": {"size": [3, 4], "color": "grayscale", "scale": "none"}}'
    }
    assert features_of(as_bundle(files)) is None


@cache
def crops(seed: int, count: int, blurred: float = 0.0) -> list[bytes]:
    """Parts of the demo's samples, as chance cuts them."""
    chance = random.Random(seed)
    samples = sorted((DEMO / "samples").glob("*/*.jpg"))
    found = []
    for _ in range(count):
        with Image.open(chance.choice(samples)) as picture:
            left, top = chance.randrange(60), chance.randrange(60)
            part = picture.convert("RGB").crop((left, top, left + 300, top + 330)).resize((96, 96))
        file = io.BytesIO()
        part.filter(ImageFilter.GaussianBlur(blurred)).save(file, "PNG")
        found.append(file.getvalue())
    return found


def keep(bucket: Bucket, version: str, pictures: list[bytes]) -> None:
    """In place of what was kept before, with labels and scores that never move."""
    for item in bucket.boto.list_objects_v2(Bucket=bucket.name, Prefix=PREFIX).get("Contents", []):
        bucket.boto.delete_object(Bucket=bucket.name, Key=item["Key"])
    captures = Captures(bucket.s3, bucket.name, share=1, unsure=False)
    for number, data in enumerate(pictures):
        predictions = [{"label": ("hat", "shoes")[number % 2], "score": 0.9 + number % 9 / 100}]
        image = {"source": "upload", "format": "PNG", "width": 96, "height": 96}
        model = {"name": "classifier", "version": version, "engine": "litert"}
        said = {"time": "t", "why": "drawn", "model": model, "image": image, "predictions": predictions}
        captures.put(f"{version}-{number}", inspect(data, ImageLimits()), said, 1e12)


def test_blurred_pictures_are_named_by_features_alone(
    place: Place, bucket: Bucket, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_BUCKET", place.bucket)
    monkeypatch.chdir(tmp_path)
    files = {name: (DEMO / name).read_bytes() for name in ("architecture.json", "model.weights.h5", "serving.json")}
    release = Release(files=files, source="the demo", facts={"verified": True, "labels": 10, "action": "publish"})
    version = put_release(place, release, record.read_current(place), quietly).version
    keep(bucket, version, crops(1, 60))
    assert main(["drift", "--record"]) == 0
    recorded = read_reference(place, version)
    assert recorded is not None
    assert np.array(recorded.measured.features).shape == (60, WIDTH)
    keep(bucket, version, crops(2, 50, blurred=2))
    capsys.readouterr()
    assert main(["drift", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["moved"] == ["features"]
    assert 'fill="#dc2626" font-size="12">features: the model\'s own' in Path("drift.svg").read_text()
