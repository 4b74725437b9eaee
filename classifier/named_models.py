"""Several models under one prefix, each in a folder of its name; the least recently used go when memory gets short."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier import function_memory, logs, model_memory
from classifier.bundles.bundle import Snapshot
from classifier.bundles.names import is_name
from classifier.errors import NotFoundError
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from classifier.bundles.reader import BundleReader
    from model_loader import ModelLoader

MAX_MODELS = 50
LEAST_BYTES = 150_000_000
"""What loading takes at least, whatever the model's size."""


class Place(Record):
    """Where one named model lies, and what keeps it warm once it is asked for."""

    reader: BundleReader
    open: Callable[[], ModelLoader]


class NamedModels:
    """Loaders by name, least recently used first. One request at a time, as Lambda asks."""

    def __init__(self, place_of: Callable[[str], Place], memory_left: Callable[[], int | None]) -> None:
        self._place_of, self._memory_left = place_of, memory_left
        self._loaders: dict[str, ModelLoader] = {}

    @property
    def loaded(self) -> tuple[str, ...]:
        """The names of the models that are kept, least recently used first."""
        return tuple(self._loaders)

    def get(self, name: str, deadline: float) -> ModelLoader:
        """The loader of the model `name`; NotFoundError if there is none. `deadline` by time.monotonic().

        Each name that is not known yet costs one list request.
        """
        if not is_name(name):
            raise NotFoundError("not a model's name", public="There is no model of this name.")
        loader = self._loaders.pop(name, None) or self._opened(name, deadline)
        self._loaders[name] = loader
        return loader

    def _opened(self, name: str, deadline: float) -> ModelLoader:
        place = self._place_of(name)
        view = place.reader.look(deadline)
        newest = view.newest
        if newest is None:
            raise NotFoundError(f"no bundle {name}", public="There is no model of this name.")
        both = (newest, view.canary.snapshot if view.canary else None)
        self._make_room(sum(found.size for found in both if isinstance(found, Snapshot)))
        return place.open()

    def _make_room(self, size: int) -> None:
        needed = max(LEAST_BYTES, int(model_memory.TENSORFLOW.times * size))
        while self._loaders and (len(self._loaders) >= MAX_MODELS or self._short_of(needed)):
            name = next(iter(self._loaders))
            del self._loaders[name]
            function_memory.give_back()
            logs.emit("info", "model unloaded, the least recently used", fields={"name": name})

    def _short_of(self, needed: int) -> bool:
        left = self._memory_left()
        return left is not None and left < needed
