"""The model of a run, opened as the function opens it: exactly the version that the plan names."""

from __future__ import annotations

import os
import threading
import time
from copy import replace
from typing import TYPE_CHECKING

from classifier.bundles.bundle import Snapshot, Unsettled
from classifier.bundles.compiled import known_fingerprint
from classifier.engines.opening import LoadedModel, Opener
from classifier.settings import Settings
from lifecycle.errors import ConflictError, PlaceError, UsageError
from lifecycle.timeline import LOOK_S, read_timeline

if TYPE_CHECKING:
    from array import array
    from collections.abc import Buffer

    from classifier.bundles.reader import View
    from classifier.engines.engine import Engine
    from lifecycle.place import Place

READ_S = 600.0
MARGIN_S = 0.1


def open_version(place: Place, version: str | None) -> LoadedModel:
    """The model that serves at `place`, or that version of it; ConflictError if the version is no longer there."""
    from classifier.engines.keras_engine import open_keras
    from classifier.engines.litert_engine import open_litert

    store = place.store()
    settings = Settings.from_env({**os.environ, "MODEL_BUCKET": place.bucket})
    opener = Opener(store.bundles, store.compiled, open_keras, open_litert, engine=settings.engine, patience_s=0)
    view = store.bundles.look(time.monotonic() + LOOK_S)
    while isinstance(view.newest, Unsettled):
        time.sleep(view.newest.wait_s + MARGIN_S)
        view = store.bundles.look(time.monotonic() + LOOK_S)
    if view.newest is None:
        raise PlaceError(f"there is no whole bundle at {place.url}")
    if version is None or known_fingerprint(view.newest) in (None, version):
        loaded = _open(opener, view.newest, view)
        if version in (None, loaded.version):
            return loaded
    return _open(opener, _published(place, str(version)), view)


def _open(opener: Opener, snapshot: Snapshot, view: View) -> LoadedModel:
    loaded = opener.open(snapshot, view, None, time.monotonic() + READ_S)
    if loaded is None:  # only ever for a function that has a model already
        raise PlaceError("the model was not opened")
    return replace(loaded, engine=InTurn(loaded.engine))


def _published(place: Place, version: str) -> Snapshot:
    try:
        return read_timeline(place).named(version).snapshot(place.prefix)
    except UsageError as error:
        text = f"the work was begun with model {version}, which is no longer at {place.url}; --again begins it anew"
        raise ConflictError(text) from error


class InTurn:
    """An engine that several threads may ask: an interpreter answers one at a time."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine, self._lock = engine, threading.Lock()

    def predict(self, picture: Buffer) -> array[float]:
        """As the engine does."""
        with self._lock:
            return self._engine.predict(picture)


class OneModel:
    """What the service asks for a model: always this one."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def look_ahead(self) -> None:
        """Nothing newer is looked for: one run, one model."""

    def acquire(self, deadline: float) -> LoadedModel:  # noqa: ARG002 - the protocol's
        """The model."""
        return self._model
