"""The warm model: loaded before the first request, kept for the next, exchanged whole when S3 holds a newer one.

Where `published.json` names a canary, a second one is loaded after it; nobody who is not its caller waits for that.

Loading runs in a thread of its own, one at a time. INIT has it begin, and what needs no TensorFlow come to its end. A
request waits for it only as long as it can afford: the first one until its deadline (then 503, and loading goes on),
later ones at most `reload_wait_s`, then the old model answers. Lambda freezes the function between requests, so that
short wait is also what lets a reload come to its end.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from classifier import logs, metrics
from classifier.bundles.bundle import Snapshot, Unsettled
from classifier.engines.job import Job
from classifier.errors import (
    ClassifierError,
    ModelError,
    ModelLoadingError,
    StorageUnavailableError,
    UnavailableError,
)
from classifier.s3.storage import ObjectChangedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from classifier.bundles.reader import BundleReader, View
    from classifier.engines.canary import CanaryKeeper, WarmCanary
    from classifier.engines.opening import LoadedModel, Opener

CHECK_TIMEOUT_S = 2.0
FIRST_LOOK_TIMEOUT_S = 12.0
"""A function without a model has nothing better to do than to wait for an S3 that is slow."""
READ_TIMEOUT_S = 60.0
RETRY_FAILED_S = 5.0
CHANGES_TOLERATED = 3
MARGIN_S = 0.1
PREFETCH_FRESH_S = 5.0
REFUSED = {"models_refused": 1}


class ModelLoader:
    """Keeps one model warm and current."""

    def __init__(
        self, reader: BundleReader, opener: Opener, *, check_s: float, reload_wait_s: float, canaries: bool = True
    ) -> None:
        """`canaries`: whether a canary is loaded, too; who answers no callers has no use for one."""
        self._reader = reader
        self._opener = opener
        self._canaries = canaries
        self._check_s = check_s
        self._reload_wait_s = reload_wait_s
        self._lock = threading.Lock()
        self._current: LoadedModel | None = None
        self._job: Job | None = None
        self._next_check = 0.0
        self._refused: tuple[object, ...] = ()
        self._refusal: ModelError | None = None
        self._older: Snapshot | None = None
        self._sought: tuple[object, ...] = ()
        self._wanted = threading.Event()
        self._begun = threading.Event()
        self._looked = 0.0
        self._second: CanaryKeeper | None = None

    @property
    def current(self) -> LoadedModel | None:
        """The model that would answer now, without loading or asking for anything."""
        return self._current

    @property
    def refusal(self) -> ModelError | None:
        """Why the newest bundle does not serve, while an older one does; None when the newest serves."""
        return self._refusal if self._current is not None else None

    @property
    def canary(self) -> WarmCanary | None:
        """The second model that `published.json` names, loaded or not; None if it names none."""
        return None if self._second is None else self._second.canary

    def acquire_canary(self, deadline: float) -> LoadedModel | None:
        """The canary's model, waited for as a newer model is; None if it isn't there then: the stable one answers."""
        if self._job is not None and self.canary is not None and self.canary.awaited:
            self._job.over.wait(max(0.0, min(self._reload_wait_s, deadline - time.monotonic())))
        canary = self.canary
        return None if canary is None else canary.model

    def acquire(self, deadline: float) -> LoadedModel:
        """The model to answer with; `deadline` by time.monotonic().

        ModelLoadingError if there is none yet when the deadline comes; otherwise what made loading fail.
        """
        prefetching = self._prefetching()
        self._wanted.set()
        job = self._start_job_if_due()
        if self._current is None and job is not None:
            job.done.wait(max(0.0, deadline - time.monotonic()))
        elif job is not None:
            job.done.wait(max(0.0, min(self._reload_wait_s, deadline - time.monotonic())))
        if self._current is not None:
            return self._current
        if job is None or not job.done.is_set():
            raise ModelLoadingError("the model is not loaded yet")
        if prefetching:
            # It began before any request, maybe minutes ago, and was frozen since: not this request's failure.
            self._next_check = 0.0
            return self.acquire(deadline)
        raise job.error or ModelLoadingError("loading ended without a model")

    def prefetch(self) -> None:
        """Begin to load the model, for INIT: TensorFlow is not imported before the first request that needs it."""
        self._start_job_if_due()

    def wait_prefetched(self, until: float) -> None:
        """Wait until what `prefetch` began is loaded, failed or needs TensorFlow; at most until then (monotonic)."""
        self._begun.wait(max(0.0, until - time.monotonic()))

    def _prefetching(self) -> bool:
        return self._job is not None and not self._wanted.is_set()

    def look_ahead(self) -> None:
        """Start the check that is due, so that it runs while the picture is fetched; never loads a first model."""
        if self._current is not None:
            self._start_job_if_due()

    def _start_job_if_due(self) -> Job | None:
        with self._lock:
            if self._job is not None and not self._job.over.is_set():
                return self._job
            if time.monotonic() < self._next_check:
                return self._job
            self._job = Job(self._refresh)
            return self._job

    def _refresh(self) -> Callable[[], None] | None:
        """Look for a newer bundle and adopt it; what is left to do for a canary. Only for the job's thread."""
        self._next_check = time.monotonic() + self._check_s
        try:
            self._look_until_unchanged()
        except ClassifierError as error:
            self._next_check = time.monotonic() + min(self._check_s, RETRY_FAILED_S)
            if self._current is None:
                raise
            sentence = "model check failed, the old model goes on serving"
            logs.emit("warning", sentence, error=error, fields={"checks_failed": 1})
        finally:
            self._begun.set()
        return None if self.canary is None else self._load_canary

    def _look_until_unchanged(self) -> None:
        for _ in range(CHANGES_TOLERATED):
            try:
                return self._look()
            except ObjectChangedError as error:
                changed = error
        raise StorageUnavailableError(f"the bundle changed each time it was read: {changed}") from changed

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            view = self._reader.look(self._answer_by())
        except ModelError as error:
            if self._current is None and self._adopt_older(self._reader.look_aside(self._answer_by())):
                self._refusal = error
                sentence = "the newest bundle is refused, an older one serves"
                logs.emit("error", sentence, error=error, fields=REFUSED)
                return
            raise
        self._follow_canary(view)
        newest = view.newest
        if self._current is None:
            self._adopt_first(view)
        elif isinstance(newest, Unsettled):
            self._next_check = min(self._next_check, time.monotonic() + newest.wait_s + MARGIN_S)
        elif newest is None:
            logs.emit("warning", "the bundle in S3 is incomplete, the old model goes on serving")
        else:
            if _judged(newest, view) != self._refused:
                self._adopt_or_refuse(newest, view)
            if _judged(newest, view) == self._refused:
                self._follow_older(view)

    def _answer_by(self) -> float:
        """When S3 has to have answered a listing that is asked for now."""
        return time.monotonic() + (FIRST_LOOK_TIMEOUT_S if self._current is None else CHECK_TIMEOUT_S)

    def _adopt_or_refuse(self, snapshot: Snapshot, view: View) -> None:
        try:
            self._adopt(snapshot, view)
            self._refusal = None
        except ModelError as error:
            self._refused, self._refusal = _judged(snapshot, view), error
            sentence = "the new bundle is refused, an older one serves"
            logs.emit("error", sentence, error=error, fields=self._refused_fields(snapshot, view))

    def _refused_fields(self, snapshot: Snapshot, view: View) -> dict[str, object]:
        """With the version, where it is known without reading what is refused."""
        version = self._opener.version(snapshot, view, self._answer_by())
        return {**REFUSED, "version": version} if version else {**REFUSED}

    def _follow_older(self, view: View) -> None:
        """Serve what a cold function would while what is newest is refused: it may have gone live unseen here.

        The version history is asked once about each refusal.
        """
        if self._sought != self._refused:
            self._adopt_older(view)
        elif self._older is not None:
            try:
                self._adopt(self._older, view)  # once its compiled form is there, or nobody waits for that any more
            except ModelError:
                self._adopt_older(view)

    def _adopt_first(self, view: View) -> None:
        """A cold function has no old model: what is newest must do, or what the version history holds."""
        failure: ClassifierError = UnavailableError("there is no whole bundle under the prefix")
        if isinstance(view.newest, Snapshot):
            try:
                if self._adopt_older_compiled(view.newest, view):
                    return None
                return self._adopt(view.newest, view)
            except ModelError as error:
                self._refused, self._refusal, failure = _judged(view.newest, view), error, error
                sentence = "the newest bundle is refused, looking for an older one"
                logs.emit("error", sentence, error=error, fields=self._refused_fields(view.newest, view))
        if self._adopt_older(view):
            return None
        if isinstance(view.newest, Unsettled):
            time.sleep(view.newest.wait_s + MARGIN_S)
            return self._look()
        raise failure

    def _adopt_older_compiled(self, newest: Snapshot, view: View) -> bool:
        """Whether the newest bundle's compiled form is still being made, and an older one could be adopted meanwhile:
        what warm functions do, so that all agree."""
        deadline = time.monotonic() + READ_TIMEOUT_S
        if not self._opener.awaits(newest, view, deadline):
            return False
        for snapshot in self._reader.older(self._answer_by()):
            if self._current is not None and snapshot.identity == self._current.identity:
                return True
            if snapshot.identity != newest.identity:
                loaded = self._opener.open_compiled(snapshot, view, deadline)
                if loaded is not None:
                    self._replace(loaded)
                    return True
        return False

    def _adopt_older(self, view: View) -> bool:
        """Whether the version history held a bundle that can be served, not written before the loaded one."""
        older = None
        for snapshot in self._reader.older(self._answer_by()):
            if self._current is not None and _written(snapshot) < self._current.updated:
                break
            if snapshot.stated not in self._refused:
                try:
                    if not self._adopt_older_compiled(snapshot, view):
                        self._adopt(snapshot, view)
                except ModelError as error:
                    logs.emit("warning", "an older bundle is refused too", error=error)
                else:
                    older = snapshot
                    break
        self._older, self._sought = older, self._refused
        return older is not None

    def _until_wanted(self) -> None:
        """Wait for the first request that needs a model; ObjectChangedError if what was pulled may be outdated then."""
        if not self._wanted.is_set():
            self._begun.set()
            self._wanted.wait()
            if time.monotonic() - self._looked > PREFETCH_FRESH_S:
                raise ObjectChangedError("it was pulled long before the first request")

    def _adopt(self, snapshot: Snapshot, view: View) -> None:
        """Open the snapshot's model, warmed up, then replace the current one in one assignment."""
        opener = self._second or self._opener
        loaded = opener.open(snapshot, view, self._current, time.monotonic() + READ_TIMEOUT_S, self._until_wanted)
        if loaded is not None:
            self._replace(loaded)

    def _replace(self, loaded: LoadedModel) -> None:
        known = self._current is not None and loaded.engine is self._current.engine
        self._current = loaded
        if known:
            return
        rounded = {phase: round(duration, 1) for phase, duration in loaded.timings_ms.items()}
        fields = {"version": loaded.version, "engine": loaded.engine.name, "models_loaded": 1}
        logs.emit("info", "model loaded", fields=fields | metrics.durations(rounded))

    def _follow_canary(self, view: View) -> None:
        """What S3 says of a canary, as far as it holds at once."""
        if self._second is None:
            if view.canary is None or not self._canaries:
                return
            from classifier.engines.canary import CanaryKeeper

            self._second = CanaryKeeper(self._opener)
        self._second.follow(view)

    def _load_canary(self) -> None:
        if self._second is not None and self._current is not None:
            again_s = self._second.load(self._current, in_init=not self._wanted.is_set())
            self._next_check = min(self._next_check, time.monotonic() + again_s)


def _judged(snapshot: Snapshot, view: View) -> tuple[object, ...]:
    """What a refusal is about: the bundle, and the reports there were, as one more may be of a form that fits."""
    return snapshot.stated, frozenset((info.key, info.etag) for info in view.reports)


def _written(snapshot: Snapshot) -> float:
    """When its newest object was written, or `published.json` that names it: `updated` may be a canary's beginning."""
    return max(part.modified for part in snapshot.parts)
