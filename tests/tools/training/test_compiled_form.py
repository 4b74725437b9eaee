"""The demo's compiled form, which npm start answers by: made of the demo as it lies there, and true to it."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.bundles.compiled import HEAD, MODEL, REPORT, parse_report
from lifecycle.release import as_bundle
from local.options import DEMO
from local.seed import compiled_form, read_bundle


def test_the_demos_compiled_form_is_of_the_demo_as_it_is() -> None:
    place = compiled_form(DEMO, read_bundle(DEMO))
    assert place is not None, "run: python -m tools.training.compiled_form examples/clothing"
    assert [path.name for path in (DEMO / "compiled").iterdir()] == [place.name]
    assert sorted(path.name for path in place.iterdir()) == [HEAD, MODEL, REPORT]


def test_a_bundle_that_was_changed_has_none() -> None:
    files = read_bundle(DEMO)
    assert compiled_form(DEMO, files | {"serving.json": b"{}"}) is None


@pytest.mark.tensorflow
def test_it_answers_as_keras_does() -> None:
    from classifier.engines.keras_engine import open_keras
    from classifier.engines.litert_engine import open_litert
    from classifier.engines.probes import probe_arrays

    files = read_bundle(DEMO)
    place = compiled_form(DEMO, files)
    assert place is not None
    reference = open_keras(as_bundle(files))
    served = open_litert((place / MODEL).read_bytes(), parse_report((place / REPORT).read_bytes()))
    pictures = [path.read_bytes() for path in sorted((DEMO / "samples").glob("*/*"))]
    for array in probe_arrays(reference.serving.preprocessing, pictures):
        expected = reference.serving.scores(reference.engine.predict(array))
        np.testing.assert_allclose(served.serving.scores(served.engine.predict(array)), expected, atol=1e-4)
