"""Engines: how a bundle's bytes become scores. One interface; TensorFlow and LiteRT behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from classifier.bundles.serving import Serving


class Engine(Protocol):
    """A loaded model that answers one picture at a time."""

    name: str

    def predict(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """The model's output, float32 of shape (units,), for an array of shape (1, height, width, channels)."""


class Loaded(Record):
    """An engine that has answered once already, how to serve it, and what each phase of loading took (ms)."""

    engine: Engine
    serving: Serving
    timings_ms: Mapping[str, float]
