"""Models of every form, published for real: faithful to their source, compiled, verified, exported, or refused."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classifier.bundle import Snapshot
from classifier.compiled import key_of
from classifier.engines.keras_engine import open_keras
from classifier.engines.litert_engine import open_litert
from classifier.errors import ModelError
from classifier.opening import Opener
from local.launch import PROJECT
from local.s3 import S3Request
from models import record
from models.command import main
from models.faithful import Agreement
from models.marks import read_mark
from models.place import Place
from models.release import usable_report
from tests.conftest import Bucket

pytestmark = pytest.mark.tensorflow
PREFIX = "models/dev/"
LABELS = ("hat", "shoe", "t-shirt")
COMMAND = [sys.executable, str(PROJECT / "scripts" / "models")]


@pytest.fixture
def place(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty place, which the environment names too."""
    for name, value in {
        "AWS_ENDPOINT_URL": bucket.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MODEL_BUCKET": bucket.name,
        "MODEL_PREFIX": PREFIX,
        "SWAP_SETTLE_SECONDS": "0",
    }.items():
        monkeypatch.setenv(name, value)
    return Place(bucket.name, PREFIX, bucket.boto)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One trained model in every form that Keras 3 writes, one as Keras 2 wrote it, and things that are refused."""
    import keras

    folder = tmp_path_factory.mktemp("sources")
    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="picture"),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, activation="softmax", name="scores"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    random = np.random.default_rng(1)
    model.fit(random.random((16, 8, 8, 3)) * 255, random.integers(0, 3, 16), verbose=0)
    model.save(folder / "model.keras")
    model.save(folder / "model.h5")
    (folder / "model.json").write_text(model.to_json())
    model.save_weights(folder / "model.weights.h5")
    (folder / "bundle").mkdir()
    (folder / "bundle" / "architecture.json").write_text(model.to_json())
    model.save_weights(folder / "bundle" / "model.weights.h5")
    (folder / "bundle" / "labels.txt").write_text("\n".join(LABELS))
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n")
    (folder / "two.txt").write_text("\n".join(LABELS[:2]))
    (folder / "labels.json").write_text(json.dumps({name: index for index, name in enumerate(LABELS)}))
    _write_as_keras_2(folder)
    model.export(folder / "saved", verbose=False)
    _write_graph_def(folder)
    (folder / "samples").mkdir()
    _write_picture(folder / "samples" / "one.png", (200, 30, 30))
    np.save(folder / "expected.npy", np.asarray(model(np.full((1, 8, 8, 3), 128.0))))
    lambdas = keras.Sequential([keras.Input((8, 8, 3)), layers.Lambda(lambda x: x), layers.Flatten(), layers.Dense(3)])
    lambdas.save(folder / "lambda.keras")
    return folder


def _write_as_keras_2(folder: Path) -> None:
    """The HDF5 file with the configuration that Keras 2.2.4 wrote for the same layers."""
    import h5py

    data = (folder / "model.h5").read_bytes()
    (folder / "old.h5").write_bytes(data)
    convolution = {"name": "conv", "filters": 4, "kernel_size": [3, 3], "activation": "relu"}
    layers: list[dict[str, Any]] = [
        {"class_name": "Conv2D", "config": convolution | {"batch_input_shape": [None, 8, 8, 3], "dtype": "float32"}},
        {
            "class_name": "BatchNormalization",
            "config": {"name": "norm", "axis": -1, "momentum": 0.99, "epsilon": 0.001},
        },
        {"class_name": "GlobalAveragePooling2D", "config": {"name": "pool", "data_format": "channels_last"}},
        {"class_name": "Dense", "config": {"name": "scores", "units": 3, "activation": "softmax"}},
    ]
    with h5py.File(folder / "old.h5", "r+") as file:
        config = {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": layers}}
        file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"] = b"2.2.4"


def _write_graph_def(folder: Path) -> None:
    """A frozen graph as TensorFlow 1 examples ship them: no Keras, tensors known by name only."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        given = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3), name="Mul")
        kernel = tf.constant(np.random.default_rng(2).normal(0, 0.01, (3, 3)).astype(np.float32))
        tf.nn.softmax(tf.matmul(tf.reduce_mean(given, (1, 2)), kernel), name="final_result")
        (folder / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString())


def _write_picture(path: Path, color: tuple[int, int, int]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 16), color).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def publish(capsys: Any, *arguments: str | Path) -> dict[str, Any]:
    """Publish and return what --json says."""
    capsys.readouterr()
    assert main(["publish", *map(str, arguments), "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def answer(place: Place, pixel: float) -> np.ndarray:
    """What TensorFlow says for a picture of one color, from what S3 holds."""
    store = place.store()
    newest = store.bundles.look(time.monotonic() + 30).newest
    assert isinstance(newest, Snapshot)
    loaded = open_keras(store.bundles.read(newest, time.monotonic() + 30))
    return loaded.engine.predict(np.full((1, 8, 8, 3), pixel, np.float32))


@pytest.mark.parametrize(
    ("names", "by"),
    [
        (["model.keras"], "Keras 3"),
        (["model.h5"], "Keras 3"),
        (["model.json", "model.weights.h5"], "Keras 3"),
        (["model.weights.h5", "model.json"], "Keras 3"),
        (["bundle"], "Keras 3"),
        (["old.h5"], "the project's loader only"),
    ],
    ids=" ".join,
)
def test_every_form_of_a_model_is_published_faithfully(
    place: Place, sources: Path, capsys: Any, names: list[str], by: str
) -> None:
    told = publish(capsys, *(sources / name for name in names), "--labels", sources / "labels.txt")
    found = told["agreement"]["source"]
    assert found.keys() == set(Agreement.__dataclass_fields__)
    assert found["by"].startswith(by)
    assert found["arrays"] == 8
    assert told["verified"]
    assert told["agreement"]["compiled"]["usable"]
    assert usable_report(place, told["version"]) is not None
    assert answer(place, 128) == pytest.approx(np.load(sources / "expected.npy")[0], abs=1e-6)


def test_what_training_left_is_not_published(place: Place, sources: Path, capsys: Any) -> None:
    publish(capsys, sources / "model.keras", "--labels", sources / "labels.txt")
    publish(capsys, sources / "model.h5", "--labels", sources / "labels.txt")
    current = record.read_current(place)
    assert current is not None
    assert int(current.objects["model.weights.h5"]["size"]) < (sources / "model.h5").stat().st_size


def test_samples_are_scored_by_both_engines(place: Place, sources: Path, capsys: Any) -> None:
    arguments: list[str | Path] = [
        "--labels",
        sources / "labels.json",
        "--preprocessing",
        "unit",
        "--sample",
        sources / "samples",
    ]
    told = publish(capsys, sources / "model.keras", *arguments)
    (sample,) = told["samples"]
    assert sample["sample"] == "one.png"
    best = [sample[engine][0] for engine in ("tensorflow", "litert")]
    assert best[0]["label"] == best[1]["label"]
    assert best[0]["score"] == pytest.approx(best[1]["score"], abs=1e-5)
    assert told["agreement"]["source"]["samples"] == 1
    published = record.read_current(place)
    assert published is not None
    key = published.objects["serving.json"]["key"]
    serving = json.loads(place.client.get_object(Bucket=place.bucket, Key=key)["Body"].read())
    assert (serving["labels"], serving["preprocessing"]["scale"]) == (list(LABELS), "unit")


def test_publishing_the_same_again_compiles_nothing_and_is_the_same_version(
    place: Place, sources: Path, capsys: Any
) -> None:
    first = publish(capsys, sources / "model.keras", "--labels", sources / "labels.txt")
    key = key_of(PREFIX, first["version"], "model.tflite")
    before = place.client.head_object(Bucket=place.bucket, Key=key)["VersionId"]
    assert publish(capsys, sources / "model.keras", "--labels", sources / "labels.txt")["version"] == first["version"]
    assert place.client.head_object(Bucket=place.bucket, Key=key)["VersionId"] == before


def test_a_dry_run_writes_nothing(sources: Path, bucket: Bucket, place: Place, capsys: Any) -> None:
    told = publish(capsys, sources / "model.keras", "--labels", sources / "labels.txt", "--dry-run")
    assert told["dry_run"]
    assert told["agreement"]["source"]["largest_difference"] < 1e-5
    assert bucket.boto.list_objects_v2(Bucket=place.bucket)["KeyCount"] == 0


@pytest.mark.parametrize(
    ("name", "tensors"), [("saved", []), ("frozen.pb", ["--input", "Mul", "--output", "final_result:0"])]
)
def test_a_graph_without_keras_layers_is_served_in_compiled_form_and_says_so(
    place: Place, sources: Path, capsys: Any, name: str, tensors: list[str]
) -> None:
    told = publish(capsys, sources / name, *tensors, "--labels", sources / "labels.txt")
    assert told["compiled_only"]
    report = usable_report(place, told["version"])
    assert report is not None
    assert report.measured["compiled_only"]
    store, deadline = place.store(), time.monotonic() + 30
    view = store.bundles.look(deadline)
    assert isinstance(view.newest, Snapshot)
    opener = Opener(store.bundles, store.compiled, open_keras, open_litert, engine="auto", patience_s=0)
    loaded = opener.open(view.newest, view, None, deadline)
    assert loaded is not None
    assert loaded.serving.labels == LABELS
    named = {"name": "graph", "version": told["version"], "engine": "litert", "compiled_only": True}
    assert loaded.named("graph") == named
    by_tensorflow = Opener(store.bundles, store.compiled, open_keras, open_litert, engine="tensorflow", patience_s=0)
    with pytest.raises(ModelError, match="compiled form only"):
        by_tensorflow.open(view.newest, view, None, deadline)
    if name == "saved":
        given = loaded.engine.predict(np.full((1, 8, 8, 3), 128, np.float32))
        assert given == pytest.approx(np.load(sources / "expected.npy")[0], abs=1e-5)
    assert main(["verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["engines"] == ["litert"]
    assert publish(capsys, sources / name, *tensors, "--labels", sources / "labels.txt")["version"] == told["version"]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["model.keras", "--labels", "two.txt"], 1, "2 labels for 3 scores"),
        (["lambda.keras", "--labels", "labels.txt"], 1, "Lambda"),
        (["labels.txt"], 2, "not a model that can be published"),
        (["model.weights.h5"], 1, "weights only"),
        (["samples"], 2, "holds no model"),
        (["frozen.pb", "--labels", "labels.txt"], 2, "--input and --output"),
        (["frozen.pb", "--labels", "labels.txt", "--input", "nope", "--output", "nope"], 1, "can't be cut out"),
        (["saved", "--labels", "labels.txt", "--output", "nope"], 2, "no signature"),
        (["absent.keras"], 2, "there is no"),
        (["model.json", "labels.txt"], 2, "of two files one must be"),
        (["model.keras", "--labels", "labels.txt", "--size", "9", "9"], 1, "preprocessing.size"),
    ],
)
def test_what_can_not_be_published_is_refused_with_the_reason(
    place: Place, sources: Path, capsys: Any, arguments: list[str], code: int, reason: str
) -> None:
    named = [str(sources / item) if (sources / item).exists() or "." in item else item for item in arguments]
    assert main(["publish", *named]) == code
    assert reason in capsys.readouterr().err
    assert record.read_current(place) is None


def test_a_source_that_answers_otherwise_is_refused(
    place: Place, sources: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    true_loader = keras.saving.load_model

    def other(*arguments: Any, **options: Any) -> Any:
        model = true_loader(*arguments, **options)
        model.layers[-1].bias.assign([0.01, 0.0, 0.0])
        return model

    monkeypatch.setattr(keras.saving, "load_model", other)
    assert main(["publish", str(sources / "model.keras"), "--labels", str(sources / "labels.txt")]) == 1
    assert "refused: scores differ from Keras" in capsys.readouterr().err
    assert record.read_current(place) is None


def test_verifying_passes_and_is_kept_for_promoting(place: Place, sources: Path, capsys: Any, tmp_path: Path) -> None:
    version = publish(capsys, sources / "bundle")["version"]
    for index, label in enumerate(LABELS):
        (tmp_path / label).mkdir()
        _write_picture(tmp_path / label / "picture.png", (index * 90, 10, 200))
    picture = tmp_path / "picture.svg"
    assert main(["verify", "--against", str(tmp_path), "--picture", str(picture), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["passed"], told["engines"]) == (version, True, ["tensorflow", "litert"])
    assert told["quality"]["litert"]["pictures"] == 3
    assert sum(map(sum, told["quality"]["litert"]["confusion"])) == 3
    assert told["quality"]["litert"]["accuracy"] == told["quality"]["tensorflow"]["accuracy"]
    assert picture.read_text().startswith("<svg")
    mark = read_mark(place, version)
    assert mark is not None
    assert mark["passed"]


def test_a_compiled_form_that_was_damaged_fails_verification_and_is_not_promoted(
    place: Place, sources: Path, capsys: Any, bucket: Bucket
) -> None:
    version = publish(capsys, sources / "bundle")["version"]
    key = key_of(PREFIX, version, "model.tflite")
    data = bucket.boto.get_object(Bucket=bucket.name, Key=key)["Body"].read()
    bucket.put(key, data[:-1] + b"!")
    assert main(["verify", place.url]) == 1
    assert "is not what its report is about" in capsys.readouterr().out
    assert main(["promote", "--from", "dev", "--to", "prod"]) == 1
    assert "failed verification" in capsys.readouterr().err


@pytest.mark.parametrize(("form", "name"), [("keras", "out.keras"), ("tflite", "out.tflite"), ("savedmodel", "served")])
def test_what_is_exported_answers_as_what_is_served(
    place: Place, sources: Path, capsys: Any, tmp_path: Path, form: str, name: str
) -> None:
    publish(capsys, sources / "bundle")
    assert main(["export", "--as", form, "--out", str(tmp_path / name)]) == 0
    picture = np.full((1, 8, 8, 3), 128, np.float32)
    given = _answer_of(form, tmp_path / name, picture)
    assert given == pytest.approx(answer(place, 128), abs=1e-6)
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def _answer_of(form: str, path: Path, picture: np.ndarray) -> np.ndarray:
    if form == "keras":
        import keras

        return np.asarray(keras.saving.load_model(path)(picture)).reshape(-1)
    if form == "tflite":
        from classifier.engines.litert_engine import LiteRtEngine

        return LiteRtEngine(path.read_bytes(), 1).predict(picture)
    import tensorflow as tf

    signature = tf.saved_model.load(str(path / "1")).signatures["serving_default"]
    (result,) = signature(picture=tf.constant(picture)).values()
    return np.asarray(result).reshape(-1)


def test_an_export_overwrites_nothing(place: Place, sources: Path, capsys: Any, tmp_path: Path) -> None:
    publish(capsys, sources / "bundle")
    (tmp_path / "there.tflite").write_text("mine")
    assert main(["export", place.url, "--as", "tflite", "--out", str(tmp_path / "there.tflite")]) == 2
    assert (tmp_path / "there.tflite").read_text() == "mine"


def test_the_whole_command_killed_while_it_uploads_leaves_what_was_served(
    place: Place, sources: Path, bucket: Bucket, capsys: Any
) -> None:
    version = publish(capsys, sources / "bundle")["version"]
    arguments = [*COMMAND, "publish", str(sources / "bundle"), "--preprocessing", "unit"]
    process: subprocess.Popen[bytes]

    def kill_at_the_weights(request: S3Request) -> bool:
        if request.method == "PUT" and request.path.endswith("model.weights.h5"):
            process.send_signal(signal.SIGKILL)
        return False

    process = subprocess.Popen(arguments, env=os.environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    bucket.server.failing = kill_at_the_weights
    assert process.wait(300) == -signal.SIGKILL
    bucket.server.failing = None
    current = record.read_current(place)
    assert current is not None
    assert current.version == version
    assert answer(place, 128).shape == (3,)
