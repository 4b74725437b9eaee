"""Genuine models of every Keras since 2.0.6 give their writer's own answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from classifier.keras_json.architecture import read_architecture
from classifier.keras_weights.loading import load_model
from lifecycle.model_files import read_model_file
from tests.support.keras_models import FIXTURES, FOLDERS, dense, difference, sequential

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tensorflow


WEIGHTS = [(folder, file.name) for folder in FOLDERS for file in sorted((FIXTURES / folder).glob("weights*.h5"))]
WHOLE = [(path.parent, path.name) for path in sorted(FIXTURES.glob("*/*/full.*"))]


@pytest.mark.parametrize(("folder", "name"), WEIGHTS)
def test_a_genuine_pair_answers_as_its_writer_did(folder: str, name: str) -> None:
    architecture = read_architecture((FIXTURES / folder / "architecture.json").read_bytes())

    model = load_model(architecture, (FIXTURES / folder / name).read_bytes())

    assert difference(model, FIXTURES / folder) < 1e-5
    assert architecture.outputs[0].units in (model.output_shape[-1], None)
    assert not model.compiled


@pytest.mark.parametrize(("folder", "name"), WHOLE, ids=str)
def test_a_genuine_whole_model_file_answers_as_its_writer_did(folder: Path, name: str) -> None:
    file = read_model_file((folder / name).read_bytes())

    model = load_model(read_architecture(file.architecture), file.weights)

    assert file.writer
    assert difference(model, folder) < 1e-5


def test_weights_can_be_given_as_a_path() -> None:
    folder = FIXTURES / "tfkeras-1.15/nested"
    architecture = read_architecture((folder / "architecture.json").read_bytes())

    assert difference(load_model(architecture, folder / "weights.h5"), folder) < 1e-5


def test_nothing_of_a_bundle_reaches_keras_deserializer(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("deserialized")

    for module, name in ((keras.saving, "deserialize_keras_object"), (keras.models, "model_from_json")):
        monkeypatch.setattr(module, name, refuse)
    folder = FIXTURES / "keras-3.15.1_tf-2.21/misc"
    architecture = read_architecture((folder / "architecture.json").read_bytes())

    assert difference(load_model(architecture, (folder / "weights.h5").read_bytes()), folder) < 1e-5


def test_layers_renamed_between_sessions_are_paired_by_position() -> None:
    folder = FIXTURES / "tfkeras-2.4/misc"
    text = (folder / "architecture.json").read_text().replace('"dense', '"dense_of_monday').replace('"conv2d', '"c')
    text = text.replace('"class_name": "c', '"class_name": "conv2d')

    model = load_model(read_architecture(text.encode()), (folder / "weights.h5").read_bytes())

    assert difference(model, folder) < 1e-5


@pytest.mark.parametrize("writer", ["keras-2.0.6_tf-1.4.1", "tfkeras-2.15"])
def test_freezing_after_saving_changes_nothing(writer: str) -> None:
    folder = FIXTURES / writer / "nested"
    text = (folder / "architecture.json").read_text().replace('"trainable": true', '"trainable": false')

    model = load_model(read_architecture(text.encode()), (folder / "weights.h5").read_bytes())

    assert difference(model, folder) < 1e-5


def test_half_precision_weights_are_widened(tmp_path: Path) -> None:
    import h5py
    import numpy as np

    path = tmp_path / "half.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.ones((4, 2), np.float16)
        file["layers/dense/vars/1"] = np.ones(2, np.float64)

    model = load_model(read_architecture(sequential(dense("d"))), path)

    assert np.asarray(model(np.ones((1, 4), np.float32))).tolist() == [[5.0, 5.0]]
