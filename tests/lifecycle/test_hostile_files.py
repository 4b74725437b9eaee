"""A stranger's model file on the publisher's machine: what is in it beside a model is neither unpacked nor followed."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from classifier.errors import ModelError, ModelNotAllowedError, ModelTooLargeError
from lifecycle.keras_source import pair, whole_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UNITS = 3


def layer(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": {"name": name, **config},
        "registered_name": None,
    }


def config(*middle: dict[str, Any], dense: str = "dense") -> dict[str, Any]:
    """A Keras 3 model of one Dense layer, and what is put before it."""
    layers = [
        layer("InputLayer", "input", batch_shape=[None, 4, 4, 3], dtype="float32"),
        layer("Flatten", "flatten"),
        *middle,
        layer("Dense", dense, units=UNITS, activation="softmax"),
    ]
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "sequential", "layers": layers, "build_input_shape": [None, 4, 4, 3]},
        "registered_name": None,
    }


def weights(change: Callable[[Any], object] = lambda _: None) -> bytes:
    import h5py
    import numpy as np

    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        file["layers/dense/vars/0"] = np.full((48, UNITS), 0.5, np.float32)
        file["layers/dense/vars/1"] = np.zeros(UNITS, np.float32)
        for empty in ("layers/flatten/vars", "layers/input_layer/vars", "vars"):
            file.create_group(empty)
        change(file)
    return data.getvalue()


def archive(
    folder: Path, model: dict[str, Any] | None = None, data: bytes | None = None, more: dict[str, bytes] | None = None
) -> Path:
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("metadata.json", json.dumps({"keras_version": "3.10.0", "date_saved": "2026-11-29@00:00:00"}))
        file.writestr("config.json", json.dumps(model or config()))
        if data != b"":
            file.writestr("model.weights.h5", data or weights())
        for name, content in (more or {}).items():
            file.writestr(name, content)
    return path


def bomb(folder: Path) -> Path:
    return archive(folder, more={"assets/words.txt": bytes(300_000_000), "../../outside.txt": b"x"})


def test_an_assets_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = bomb(tmp_path)
    tracemalloc.start()
    source = whole_file(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert source.weights == weights()
    assert most < 50_000_000


@pytest.mark.tensorflow
def test_keras_gets_the_weights_in_a_fresh_file_and_nothing_else(tmp_path: Path) -> None:
    """Also CVE-2026-12479, whose layer names would leave Keras's temporary folder: no archive gets there."""
    import keras

    source = whole_file(bomb(tmp_path))
    assert source.load is not None
    written: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            written.append(str(arguments[0]))

    watching = True
    sys.addaudithook(hook)
    model = source.load()
    watching = False
    assert isinstance(model, keras.Model)
    assert float(model.layers[-1].kernel[0, 0]) == 0.5
    assert {path.rpartition("/")[2] for path in written} == {"model.weights.h5"}
    assert not (tmp_path.parent / "outside.txt").exists()


@pytest.mark.parametrize("name", ["../../../tmp/outside", "a/../../b", "/etc/passwd", "..", "a/b"])
def test_cve_2026_12479_a_layers_name_that_is_a_path_leads_nowhere(tmp_path: Path, name: str) -> None:
    """The name is a key in a table of ours; nothing is written or opened by it."""
    before = {path for path in tmp_path.parent.rglob("*") if path.is_file()}
    path = archive(tmp_path, config(dense=name))
    try:
        source = whole_file(path)
    except ModelError:
        pass
    else:
        assert source.architecture
    assert {found for found in tmp_path.parent.rglob("*") if found.is_file()} - before == {path}


LAMBDA = layer("Lambda", "run", function={"class_name": "__lambda__", "config": {"code": "4wEA", "defaults": None}})
CODE = {
    "CVE-2026-12481: a Lambda layer": LAMBDA,
    "CVE-2026-12481: one inside of TimeDistributed": layer("TimeDistributed", "each", layer=LAMBDA),
    "CVE-2026-1462: a SavedModel by path": layer("TFSMLayer", "saved", filepath="/tmp/evil", call_endpoint="serve"),
    "CVE-2025-1550: a module of anybody's": {**layer("Flatten", "own"), "module": "os", "class_name": "system"},
    "an activation by import": layer("Dense", "own", units=3, activation={"module": "os", "class_name": "function"}),
    "a file of words": layer("StringLookup", "words", vocabulary="/etc/passwd"),
}


@pytest.mark.parametrize("name", CODE)
def test_what_brings_code_or_names_a_file_is_refused_before_keras_sees_it(tmp_path: Path, name: str) -> None:
    for model in (config(CODE[name]), {**config(), "config": {"name": "m", "layers": [CODE[name]]}}):
        with pytest.raises(ModelNotAllowedError):
            whole_file(archive(tmp_path, model))


def external(file: Any) -> None:
    import h5py

    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")


def soft(file: Any) -> None:
    import h5py

    file["layers/other"] = h5py.SoftLink("/layers/dense")


def virtual(file: Any) -> None:
    """CVE-2026-12480."""
    import h5py

    layout = h5py.VirtualLayout(shape=(48, UNITS), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(48, UNITS))
    del file["layers/dense/vars/0"]
    file.create_virtual_dataset("layers/dense/vars/0", layout)


def elsewhere(file: Any) -> None:
    del file["layers/dense/vars/1"]
    file.create_dataset("layers/dense/vars/1", shape=(UNITS,), dtype="f4", external=[("/etc/passwd", 0, 4 * UNITS)])


def beside_an_optimizer(change: Callable[[Any], object]) -> Callable[[Any], object]:
    def both(file: Any) -> None:
        file.create_group("optimizer/vars")
        change(file)

    return both


LINKS = [external, soft, virtual, elsewhere]


@pytest.mark.parametrize("change", [*LINKS, *map(beside_an_optimizer, LINKS)])
def test_weights_that_read_elsewhere_are_refused_before_keras_sees_them(
    tmp_path: Path, change: Callable[[Any], object]
) -> None:
    data = weights(change)
    with pytest.raises(ModelNotAllowedError):
        whole_file(archive(tmp_path, data=data))
    (tmp_path / "model.json").write_text(json.dumps(config()))
    (tmp_path / "model.weights.h5").write_bytes(data)
    with pytest.raises(ModelNotAllowedError):
        pair(tmp_path / "model.json", tmp_path / "model.weights.h5")


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"model.weights.npz": b"PK\x03\x04 a pickle may be in it"}, ModelError),
        ({"model.weights.json": b'{"weight_map": {"a": "../../etc/passwd"}}'}, ModelError),
        ({}, ModelError),
    ],
)
def test_weights_of_another_kind_are_not_read(tmp_path: Path, more: dict[str, bytes], error: type[ModelError]) -> None:
    with pytest.raises(error, match=r"has no model\.weights\.h5"):
        whole_file(archive(tmp_path, data=b"", more=more))


def test_a_member_that_lies_about_its_size_is_read_no_further_than_allowed(tmp_path: Path) -> None:
    path = archive(tmp_path, data=b"", more={"model.weights.h5": bytes(200_000_000)})
    tracemalloc.start()
    with pytest.raises(ModelTooLargeError):
        whole_file(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50_000_000
