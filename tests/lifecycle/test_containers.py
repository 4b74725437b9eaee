"""What models come in, and what comes in their place: told by content, taken or named with the way on."""

from __future__ import annotations

import json
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lifecycle.containers import HDF5, TEACHABLE_MACHINE, Found, find
from lifecycle.errors import UsageError
from lifecycle.graph_def import LEARNING_PHASE

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURE = json.dumps({"class_name": "Sequential", "config": {"layers": []}, "keras_version": "2.3.1"})
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
TEACHABLE = {"keras_model.h5": HDF5, "labels.txt": "0 cat\n1 dog\n"}
LAYERS_MODEL = {"format": "layers-model", "modelTopology": {}, "weightsManifest": []}
KERAS_1 = {"class_name": "Sequential", "config": [{"class_name": "Dense", "config": {"output_dim": 3, "init": "zero"}}]}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def written(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def names(found: Found) -> list[str]:
    return [path.name for path in found.paths]


@pytest.mark.parametrize(
    ("files", "taken", "labels"),
    [
        (
            {"architecture.json": ARCHITECTURE, "model.weights.h5": HDF5},
            ["architecture.json", "model.weights.h5"],
            None,
        ),
        ({"my_net.json": ARCHITECTURE, "best-07.hdf5": HDF5}, ["my_net.json", "best-07.hdf5"], None),
        (
            {"model.json": ARCHITECTURE, "other.json": "{}", "w.h5": HDF5, "class_indices.json": '{"a": 0}'},
            ["model.json", "w.h5"],
            "class_indices.json",
        ),
        (
            {"model.json": ARCHITECTURE, "weights.h5": HDF5, "checkpoint.h5": HDF5, "labels.txt": "a"},
            ["model.json", "weights.h5"],
            "labels.txt",
        ),
        ({"cats.h5": HDF5, "notes.txt": "x"}, ["cats.h5"], None),
        ({"inner/cats.h5": HDF5}, ["cats.h5"], None),
        (
            {"config.json": ARCHITECTURE, "metadata.json": "{}", "model.weights.h5": HDF5},
            ["model.keras"],
            None,
        ),
        (TEACHABLE, ["keras_model.h5"], "labels.txt"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder_or_a_zip_of_it_is_understood(
    tmp_path: Path,
    stack: ExitStack,
    files: dict[str, str | bytes],
    taken: list[str],
    labels: str | None,
    zipped: bool,
) -> None:
    path = written(tmp_path / "model", files)
    if zipped and "metadata.json" not in files:
        with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
            for name in files:
                archive.write(path / name, name)
        path = tmp_path / "model.zip"
    found = find([path], stack)
    assert names(found) == taken
    assert (found.labels.name if found.labels else None) == labels
    assert found.told
    assert (found.preprocessing == TEACHABLE_MACHINE) == (files is TEACHABLE)


def test_one_half_of_a_pair_finds_the_other(tmp_path: Path, stack: ExitStack) -> None:
    folder = written(tmp_path, {"a.json": ARCHITECTURE, "a.weights.h5": HDF5, "b.h5": HDF5, "serving.json": "{}"})
    for half in ("a.json", "a.weights.h5"):
        assert names(find([folder / half], stack)) == ["a.json", "a.weights.h5"]


@pytest.mark.parametrize("given", [["a.h5"], ["a.json"], ["a.json", "a.h5"]])
def test_labels_beside_the_files_of_one_model_are_its_own(tmp_path: Path, stack: ExitStack, given: list[str]) -> None:
    folder = written(tmp_path, {"a.json": ARCHITECTURE, "a.h5": HDF5, "labels.txt": "cat"})
    if given == ["a.h5"]:
        (folder / "a.json").unlink()
    found = find([folder / name for name in given], stack)
    assert found.labels == folder / "labels.txt"
    (folder / "b.h5").write_bytes(HDF5)
    found = find([folder / name for name in given], stack)
    assert found.labels is None
    assert "labels.txt lies beside several models (b.h5 as well) and is not taken: give --labels" in found.left


def test_a_saved_model_that_an_upload_made_flat_is_put_in_order(tmp_path: Path, stack: ExitStack) -> None:
    names_ = ("saved_model.pb", "variables.index", "variables.data-00000-of-00001")
    (path,) = find([written(tmp_path / "m", dict.fromkeys(names_, b"x"))], stack).paths
    assert sorted(item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_file()) == [
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"model.h5": POINTER}, "Git LFS pointer.*git lfs pull"),
        ({"model.json": json.dumps(LAYERS_MODEL)}, "TensorFlow.js's.*tensorflowjs_converter"),
        ({"model.json": json.dumps({"format": "graph-model", "modelTopology": {}})}, "converted from"),
        ({"model.json": json.dumps(KERAS_1)}, "Keras 1.*Keras 2.0 to 2.3"),
        ({"model.json": json.dumps({**KERAS_1, "keras_version": "1.2.2"})}, "Keras 1"),
        ({"m.tflite": b"\x1c\0\0\0TFL3"}, "LiteRT already.*publish the .keras"),
        ({"m.onnx": b"\x08\x07"}, "ONNX"),
        ({"m.pkl": b"\x80\x04\x95"}, r"pickle.*model\.save"),
        ({"model": b"\x80\x04\x95"}, r"pickle.*model\.save"),
        ({"m.pth": b"PK"}, "PyTorch"),
        ({"model.yaml": "a: b"}, r"model\.to_json"),
        ({"model.ckpt.index": b"\0"}, r"checkpoint.*model\.save"),
        ({"cp.ckpt.data-00000-of-00001": b"\0"}, "checkpoint"),
        ({"a.weights.h5": HDF5}, "half a model.*architecture JSON"),
        ({"a.json": ARCHITECTURE}, "half a model.*weights"),
        ({"m.zip": b"PK\x03\x04broken"}, ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_what_is_no_model_is_named_with_the_way_on(
    tmp_path: Path, stack: ExitStack, files: dict[str, str | bytes], says: str
) -> None:
    folder = written(tmp_path / "given", files)
    for path in [folder / name for name in files] + ([] if "half" in says or not says else [folder]):
        if says:
            with pytest.raises(UsageError, match=says):
                find([path], stack)
        else:
            assert find([path], stack).paths == (path,)  # whoever reads it says that it is broken


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.json": ARCHITECTURE, "b.json": ARCHITECTURE, "w.h5": HDF5}, "several models' files"),
        ({"a.h5": HDF5, "b.h5": HDF5}, "several models' files"),
        ({"checkpoint": "x", "cp.index": b"x"}, "checkpoint"),
        ({"readme.txt": "x"}, "holds no model"),
        ({"saved_model.pb": b"x", "variables/variables.index": POINTER}, "Git LFS pointer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_folder_that_leaves_it_open_is_refused(
    tmp_path: Path, stack: ExitStack, files: dict[str, str | bytes], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        find([written(tmp_path / "m", files)], stack)


def test_a_zip_can_not_write_outside_of_its_folder(tmp_path: Path, stack: ExitStack) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("../../escaped.h5", HDF5)
    (path,) = find([tmp_path / "m.zip"], stack).paths
    assert not (tmp_path.parent / "escaped.h5").exists()
    assert "publish-" in str(path)


@pytest.mark.tensorflow
def test_a_frozen_graph_says_what_can_be_named_and_is_fed_no_training(tmp_path: Path) -> None:
    import numpy as np
    import tensorflow as tf

    from lifecycle import graph_def, tensorflow_graph
    from lifecycle.source import GraphSource

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, (None, 4, 4, 1), name="picture")
        phase = v1.placeholder(tf.bool, (), name=LEARNING_PHASE)
        flat = tf.reshape(x, (-1, 16))
        dropped = v1.cond(phase, lambda: tf.nn.dropout(flat, rate=0.9), lambda: tf.identity(flat))
        tf.nn.softmax(tf.matmul(dropped, tf.constant(np.eye(16, 3), tf.float32)), name="scores")
        (tmp_path / "g.pb").write_bytes(graph.as_graph_def().SerializeToString())

    assert "--input, of picture (?, 4, 4, 1), and --output, of scores (Softmax)" in graph_def.advice(tmp_path / "g.pb")
    source = GraphSource(kind="GraphDef", path=tmp_path / "g.pb", writer="TensorFlow", input="picture", output="scores")
    call, shape = tensorflow_graph.load(source)
    picture = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    assert shape.units == 3
    np.testing.assert_allclose(call(tf.constant(picture)), tf.nn.softmax([[0.0, 1.0, 2.0]]), atol=1e-6)
