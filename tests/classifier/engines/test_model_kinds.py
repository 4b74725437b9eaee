"""Models of every kind, copied into S3 by hand: the right engine serves each, and answers as plain Keras does."""

from __future__ import annotations

import time

import numpy as np
import pytest

from classifier.bundles.store import ModelStore
from classifier.compiling.compile_job import CompileJob
from classifier.engines.keras_engine import open_keras
from classifier.engines.litert_engine import open_litert
from classifier.engines.opening import Opener
from classifier.errors import ModelError
from tests.conftest import Bucket
from tests.support.model_kinds import KINDS, PREFIX, put

pytestmark = pytest.mark.tensorflow


def soon() -> float:
    return time.monotonic() + 120


@pytest.mark.parametrize("name", KINDS)
def test_the_right_engine_serves_what_was_copied_by_hand(name: str, bucket: Bucket) -> None:
    kind = KINDS[name]
    model = kind.make()
    put(bucket, model, kind.serving)
    store = ModelStore.at(bucket.s3, bucket.name, PREFIX, settle_s=0, max_bytes=10**8)

    done = CompileJob(store).run(soon())

    assert (done["result"], done["usable"]) == ("compiled", kind.engine == "litert")
    assert kind.reason in done["reason"]
    assert bool(kind.reason) == bool(done["reason"])
    view = store.bundles.look(soon())
    report = store.compiled.report_for(view.newest, view.reports, soon())  # type: ignore[arg-type]
    assert report is not None
    assert report.reason == done["reason"]
    opener = Opener(store.bundles, store.compiled, open_keras, open_litert, engine="auto", patience_s=0)
    if not kind.engine:
        with pytest.raises(ModelError, match=kind.reason):
            opener.open(view.newest, view, None, soon())  # type: ignore[arg-type]
        return
    served = opener.open(view.newest, view, None, soon())  # type: ignore[arg-type]
    assert served is not None
    assert served.engine.name == kind.engine
    reference = kind.reference(model)
    for seed in range(3):
        picture = np.random.default_rng(seed).integers(0, 256, served.serving.preprocessing.shape).astype(np.float32)
        expected = served.serving.scores(np.asarray(reference(picture, training=False)).reshape(-1).tolist())
        scores = served.serving.scores(served.engine.predict(picture))
        np.testing.assert_allclose(scores, expected, atol=1e-4)
        assert np.argmax(scores) == np.argmax(expected)
