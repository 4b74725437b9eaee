"""Engines: how a bundle's bytes become scores. One interface; TensorFlow and LiteRT behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from classifier.records import Record

if TYPE_CHECKING:
    from array import array
    from collections.abc import Buffer, Mapping

    from classifier.bundles.serving import Serving


class Engine(Protocol):
    """A loaded model that answers one picture at a time."""

    name: str

    def predict(self, picture: Buffer) -> array[float]:
        """The model's output for a picture of shape (1, height, width, channels), both as `classifier.arrays` says."""


class Loaded(Record):
    """An engine that has answered once already, how to serve it, and what each phase of loading took (ms)."""

    engine: Engine
    serving: Serving
    timings_ms: Mapping[str, float]
