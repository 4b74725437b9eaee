"""TensorFlow's pack that can't be had: nothing wrong with the model, and nothing that a later request can't mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from classifier.bootstrap import dependencies
from classifier.bootstrap.archive import PackError
from classifier.bundles.bundle import Snapshot
from classifier.bundles.reader import Bundle
from classifier.engines.keras_engine import open_keras
from classifier.errors import StorageUnavailableError, UnavailableError
from local.launch import PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.bundles.bundle import Role

DEMO = PROJECT / "examples" / "clothing"


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (PackError("TensorFlow's pack s3://b/packs/0 is missing"), UnavailableError),
        (StorageUnavailableError("GET s3://b/packs/0: 503 SlowDown"), StorageUnavailableError),
    ],
)
def test_the_caller_may_try_again_and_the_log_says_why(
    trouble: Exception, expected: type[UnavailableError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Mapping[str, float]:
        raise trouble

    monkeypatch.setattr(dependencies, "ensure_tensorflow", fail)
    parts: Mapping[Role, bytes] = {"architecture": (DEMO / "architecture.json").read_bytes(), "weights": b""}
    with pytest.raises(UnavailableError, match=str(trouble)) as caught:
        open_keras(Bundle(Snapshot((), 0.0), parts, "demo"))
    assert type(caught.value) is expected
    assert caught.value.retry_after_s
    assert "s3://" not in caught.value.public
