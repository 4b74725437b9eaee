"""Loading in the background, one look at a time, so that requests wait for it only as long as they can afford."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from classifier import logs
from classifier.errors import ClassifierError

if TYPE_CHECKING:
    from collections.abc import Callable


class Job:
    """One look for a newer model, in a thread; `error` is why it failed.

    `done`: the model that serves is settled; `over`: what that left to do is done, too.
    """

    def __init__(self, work: Callable[[], Callable[[], None] | None]) -> None:
        self.done, self.over = threading.Event(), threading.Event()
        self.error: ClassifierError | None = None
        self._work = work
        threading.Thread(target=self._run, name="model-loader", daemon=True).start()

    def _run(self) -> None:
        rest = self._guarded(self._work)
        if rest is None:
            self.over.set()
        self.done.set()
        if rest is not None:
            self._guarded(rest)
            self.over.set()

    def _guarded[Left](self, work: Callable[[], Left]) -> Left | None:
        try:
            return work()
        except ClassifierError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - a thread's last resort: log it, tell the waiting request
            logs.emit("error", "loading a model failed unexpectedly", error=error, fields={"models_refused": 1})
            self.error = ClassifierError(f"loading: {error!r}")
        return None
