"""SavedModels and frozen GraphDefs, published for real: equal to TensorFlow's own answers, or refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier.bundles.bundle import Snapshot
from classifier.engines.keras_engine import open_keras
from classifier.engines.litert_engine import open_litert
from classifier.engines.opening import Opener
from classifier.errors import ModelError
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.release import usable_report
from tests.support.model_sources import LABELS, publish

pytestmark = pytest.mark.tensorflow


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
