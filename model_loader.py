"""The warm model: loaded on the first request, kept for the next, exchanged whole when S3 holds a newer one.

Loading runs in a thread of its own, one at a time. A request waits for it only as long as it can afford: the first one
until its deadline (then 503, and loading goes on), later ones at most `reload_wait_s`, then the old model answers.
Lambda freezes the function between requests, so that short wait is also what lets a reload come to its end.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from classifier import logs
from classifier.bundle import Snapshot, Unsettled
from classifier.errors import (
    ClassifierError,
    ModelError,
    ModelLoadingError,
    StorageUnavailableError,
    UnavailableError,
)
from classifier.phases import Phases
from classifier.storage import ObjectChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from classifier.bundle import Role
    from classifier.bundle_reader import BundleReader
    from classifier.engines import Engine, OpenEngine
    from classifier.serving import Serving

CHECK_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 60.0
RETRY_FAILED_S = 5.0
CHANGES_TOLERATED = 3

type Identity = frozenset[tuple[Role, str]]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """One model with everything that decides its replies; replaced in one assignment, never edited."""

    version: str
    updated: float
    """When its newest object was written to S3, in seconds since the epoch."""
    engine: Engine
    serving: Serving
    identity: Identity
    timings_ms: Mapping[str, float]


class ModelLoader:
    """Keeps one model warm and current."""

    def __init__(self, reader: BundleReader, open_engine: OpenEngine, *, check_s: float, reload_wait_s: float) -> None:
        self._reader = reader
        self._open_engine = open_engine
        self._check_s = check_s
        self._reload_wait_s = reload_wait_s
        self._lock = threading.Lock()
        self._current: LoadedModel | None = None
        self._job: _Job | None = None
        self._next_check = 0.0
        self._refused: Identity | None = None

    @property
    def current(self) -> LoadedModel | None:
        """The model that would answer now, without loading or asking for anything."""
        return self._current

    def acquire(self, deadline: float) -> LoadedModel:
        """The model to answer with; `deadline` by time.monotonic().

        ModelLoadingError if there is none yet when the deadline comes; otherwise what made loading fail.
        """
        job = self._start_job_if_due()
        if self._current is None and job is not None:
            job.done.wait(max(0.0, deadline - time.monotonic()))
        elif job is not None:
            job.done.wait(max(0.0, min(self._reload_wait_s, deadline - time.monotonic())))
        if self._current is not None:
            return self._current
        if job is None or not job.done.is_set():
            raise ModelLoadingError("the model is not loaded yet")
        raise job.error or ModelLoadingError("loading ended without a model")

    def look_ahead(self) -> None:
        """Start the check that is due, so that it runs while the picture is fetched; never loads a first model."""
        if self._current is not None:
            self._start_job_if_due()

    def _start_job_if_due(self) -> _Job | None:
        with self._lock:
            if self._job is not None and not self._job.done.is_set():
                return self._job
            if time.monotonic() < self._next_check:
                return self._job
            self._job = _Job(self._refresh)
            return self._job

    def _refresh(self) -> None:
        """Look for a newer bundle and adopt it. Only for the job's thread."""
        self._next_check = time.monotonic() + self._check_s
        try:
            self._look_until_unchanged()
        except ClassifierError as error:
            self._next_check = time.monotonic() + min(self._check_s, RETRY_FAILED_S)
            if self._current is None:
                raise
            logs.emit("warning", "model check failed, the old model goes on serving", error=error)

    def _look_until_unchanged(self) -> None:
        for _ in range(CHANGES_TOLERATED):
            try:
                return self._look()
            except ObjectChangedError as error:
                changed = error
        raise StorageUnavailableError(f"the bundle changed each time it was read: {changed}") from changed

    def _look(self) -> None:
        found = self._reader.newest(time.monotonic() + CHECK_TIMEOUT_S)
        if self._current is None:
            self._adopt_first(found)
        elif isinstance(found, Unsettled):
            self._next_check = min(self._next_check, time.monotonic() + found.wait_s + 0.1)
        elif found is None:
            logs.emit("warning", "the bundle in S3 is incomplete, the old model goes on serving")
        elif found.identity not in (self._current.identity, self._refused):
            self._adopt_or_refuse(found)

    def _adopt_or_refuse(self, snapshot: Snapshot) -> None:
        try:
            self._adopt(snapshot)
        except ModelError as error:
            self._refused = snapshot.identity
            logs.emit("error", "the new bundle is refused, the old model goes on serving", error=error)

    def _adopt_first(self, found: Snapshot | Unsettled | None) -> None:
        """A cold function has no old model: what is newest must do, or what the version history holds."""
        failure: ClassifierError = UnavailableError("there is no whole bundle under the prefix")
        if isinstance(found, Snapshot):
            try:
                return self._adopt(found)
            except ModelError as error:
                self._refused, failure = found.identity, error
                logs.emit("error", "the newest bundle is refused, looking for an older one", error=error)
        for snapshot in self._reader.older(time.monotonic() + CHECK_TIMEOUT_S):
            if snapshot.identity != self._refused:
                try:
                    return self._adopt(snapshot)
                except ModelError as error:
                    logs.emit("warning", "an older bundle is refused too", error=error)
        if isinstance(found, Unsettled):
            time.sleep(found.wait_s + 0.1)
            return self._look()
        raise failure

    def _adopt(self, snapshot: Snapshot) -> None:
        """Read, build and warm up the snapshot's model, then replace the current one."""
        phases = Phases()
        with phases.measure("pull"):
            bundle = self._reader.read(snapshot, time.monotonic() + READ_TIMEOUT_S)
        if self._current is not None and bundle.fingerprint == self._current.version:
            self._current = _with_identity(self._current, snapshot)
            return
        loaded = self._open_engine(bundle)
        timings = {**phases.timings_ms, **loaded.timings_ms}
        self._current = LoadedModel(
            bundle.fingerprint, snapshot.updated, loaded.engine, loaded.serving, snapshot.identity, timings
        )
        rounded = {phase: round(duration, 1) for phase, duration in timings.items()}
        fields = {"version": bundle.fingerprint, "engine": loaded.engine.name, "timings_ms": rounded}
        logs.emit("info", "model loaded", fields=fields)


def _with_identity(model: LoadedModel, snapshot: Snapshot) -> LoadedModel:
    from dataclasses import replace

    return replace(model, identity=snapshot.identity, updated=snapshot.updated)


class _Job:
    """One look for a newer model, in a thread; `error` is why it failed."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.done = threading.Event()
        self.error: ClassifierError | None = None
        self._work = work
        threading.Thread(target=self._run, name="model-loader", daemon=True).start()

    def _run(self) -> None:
        try:
            self._work()
        except ClassifierError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - a thread's last resort: log it, tell the waiting request
            logs.emit("error", "loading a model failed unexpectedly", error=error)
            self.error = ClassifierError(f"loading: {error!r}")
        finally:
            self.done.set()
