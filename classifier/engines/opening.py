"""Which engine opens a bundle, and when: the compiled form where one was verified for exactly these objects."""

from __future__ import annotations

import math
import time
from copy import replace
from functools import partial
from typing import TYPE_CHECKING

from classifier import logs
from classifier.bundles.compiled import known_fingerprint
from classifier.documents import blamed
from classifier.errors import ModelError, ModelLoadingError, ModelTooLargeError
from classifier.model_memory import LITERT, TENSORFLOW
from classifier.phases import Phases
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from mmap import mmap

    from classifier.bundles.bundle import Identity, Snapshot
    from classifier.bundles.compiled import Report
    from classifier.bundles.compiled_reader import CompiledReader
    from classifier.bundles.reader import Bundle, BundleReader, View
    from classifier.bundles.serving import Serving
    from classifier.engines.engine import Engine, Loaded


RETRY_S, LONGEST_RETRY_S = 5.0, 600.0
"""When a compiled form that could not be had is asked for again: soon, then half as often each time."""


class LoadedModel(Record):
    """One model with everything that decides its replies; replaced in one assignment, never edited."""

    version: str
    updated: float
    """When its newest object was written to S3, in seconds since the epoch."""
    engine: Engine
    serving: Serving
    identity: Identity
    timings_ms: Mapping[str, float]
    compiled_only: bool = False
    """Whether it was published without layers that TensorFlow could rebuild: no other engine can serve it."""
    read_head: Callable[[float], bytes] | None = None
    """Reads what makes its compiled form explain itself, before a deadline; None where there is nothing to read."""

    def named(self, name: str) -> dict[str, str | bool]:
        """The model as replies name it."""
        known: dict[str, str | bool] = {"name": name, "version": self.version, "engine": self.engine.name}
        return known | {"compiled_only": True} if self.compiled_only else known


class Opener:
    """Opens snapshots with the engine that the setting ENGINE and the compiled forms at hand ask for."""

    def __init__(
        self,
        reader: BundleReader,
        compiled: CompiledReader,
        open_keras: Callable[[Bundle], Loaded],
        open_litert: Callable[[bytes | mmap, Report], Loaded],
        *,
        engine: str,
        patience_s: float,
        memory: int = 0,
    ) -> None:
        """What would not fit a function of `memory` bytes (0: not known) is refused before it begins."""
        self._reader, self._compiled = reader, compiled
        self._open_keras, self._open_litert = open_keras, open_litert
        self._engine, self._patience_s, self._memory = engine, patience_s, memory
        self._retries: dict[str, _Retry] = {}
        self._too_large: dict[Identity, ModelTooLargeError] = {}

    def open(
        self,
        snapshot: Snapshot,
        view: View,
        current: LoadedModel | None,
        deadline: float,
        pulled: Callable[[], None] = lambda: None,
    ) -> LoadedModel | None:
        """The model to serve from now on, None to go on with `current`; `deadline` for reading, by time.monotonic().

        `pulled` is called when the bytes are here and before TensorFlow is imported.

        A function without a model takes TensorFlow when nothing is compiled yet. One that has a model waits for the new
        one's compiled form, but not for more than `patience_s` after the swap.
        """
        report = self._report(snapshot, view, deadline)
        if report is not None and report.usable and self._due(report):
            if current is not None and (report.fingerprint, "litert") == (current.version, current.engine.name):
                return None if snapshot.identity == current.identity else _renamed(current, snapshot)
            opened = self._with_litert(snapshot, report, deadline)
            if opened is not None:
                return opened
        if self._engine == "litert":
            self._check_litert_alone(report, current)
            return None
        if current is not None and (self._is_patient(snapshot, report, view) or snapshot.identity == current.identity):
            return None
        try:
            self._check_tensorflow(snapshot)
            return self._with_keras(snapshot, current, deadline, pulled)
        except ModelTooLargeError as error:
            self._too_large[snapshot.identity] = error
            if current is None and self._is_patient(snapshot, report, view):
                raise ModelLoadingError(f"{error}; its compiled form may fit, and is not there yet") from error
            raise

    def _check_tensorflow(self, snapshot: Snapshot) -> None:
        """ModelTooLargeError where TensorFlow has no room for the model, or had none when it was tried."""
        if snapshot.identity in self._too_large:
            raise self._too_large[snapshot.identity]
        TENSORFLOW.check_file(snapshot.weights.size, self._memory, published=snapshot.weights.sha256 is not None)

    def forget_size(self, snapshot: Snapshot) -> None:
        """Try the snapshot again, though it did not fit: there is more room now."""
        self._too_large.pop(snapshot.identity, None)

    def open_compiled(self, snapshot: Snapshot, view: View, deadline: float) -> LoadedModel | None:
        """The snapshot's model if its compiled form can serve now, and nothing else; `deadline` as above."""
        report = self._report(snapshot, view, deadline)
        if report is None or not report.usable or not self._due(report):
            return None
        try:
            return self._with_litert(snapshot, report, deadline)
        except ModelTooLargeError:
            return None

    def awaits(self, snapshot: Snapshot, view: View, deadline: float) -> bool:
        """Whether the snapshot's compiled form is worth waiting for, by who has something else to serve meanwhile."""
        report = self._report(snapshot, view, deadline)
        if report is not None and report.usable and self._due(report):
            return False
        if self._engine == "litert":
            return self._expected(report)
        return self._is_patient(snapshot, report, view)

    def version(self, snapshot: Snapshot, view: View, deadline: float) -> str | None:
        """The snapshot's fingerprint, None if only reading it would tell."""
        known = known_fingerprint(snapshot)
        report = None if known else self._report(snapshot, view, deadline)
        return known if report is None else report.fingerprint

    def _report(self, snapshot: Snapshot, view: View, deadline: float) -> Report | None:
        return None if self._engine == "tensorflow" else self._compiled.report_for(snapshot, view.reports, deadline)

    def _is_patient(self, snapshot: Snapshot, report: Report | None, view: View) -> bool:
        expected = self._engine == "auto" and self._expected(report)
        return expected and view.now - snapshot.updated < self._patience_s

    def _due(self, report: Report) -> bool:
        """Whether the compiled form failed never, or long enough ago."""
        retry = self._retries.get(report.model_sha256)
        return retry is None or time.monotonic() >= retry.at

    def _expected(self, report: Report | None) -> bool:
        """Whether a compiled form may yet come to serve: there is none, or one that can't be had at the moment."""
        if report is None:
            return True
        retry = self._retries.get(report.model_sha256)
        return report.usable and not (retry is not None and math.isinf(retry.at))

    def _check_litert_alone(self, report: Report | None, current: LoadedModel | None) -> None:
        """With ENGINE=litert a bundle without a compiled form leaves the old model; without one it is an error."""
        if current is not None:
            return
        if report is not None and not self._expected(report):
            raise ModelError(f"ENGINE=litert, and the compiled form is refused: {report.reason or 'it failed here'}")
        raise ModelLoadingError("ENGINE=litert, and the bundle has no compiled form yet")

    def _with_litert(self, snapshot: Snapshot, report: Report, deadline: float) -> LoadedModel | None:
        """The compiled form, None if it can't be had now (it is tried again later) or fails (it never is).

        ModelTooLargeError if it does not fit: TensorFlow would take more.
        """
        LITERT.check(report.model_bytes, self._memory, layer=report.largest_layer)
        phases = Phases()
        try:
            with phases.measure("pull"):
                model = self._compiled.compiled_model(report, deadline)
        except ModelError as error:
            known = self._retries.get(report.model_sha256)
            pause_s = RETRY_S if known is None else min(2 * known.pause_s, LONGEST_RETRY_S)
            self._refuse(report, _Retry(time.monotonic() + pause_s, pause_s), error)
            return None
        LITERT.check(len(model), self._memory, layer=report.largest_layer)  # its report may not be true
        try:
            with blamed("the compiled form, or its report,"):
                opened = self._open_litert(model, report)
        except ModelError as error:
            self._refuse(report, _Retry(math.inf, math.inf), error)
            return None
        self._retries.pop(report.model_sha256, None)
        loaded = _loaded(report.fingerprint, snapshot, opened, phases, compiled_only=report.compiled_only)
        return replace(loaded, read_head=partial(self._compiled.head, report)) if report.head_sha256 else loaded

    def _refuse(self, report: Report, retry: _Retry, error: ModelError) -> None:
        self._retries[report.model_sha256] = retry
        passing = not math.isinf(retry.at)
        sentence = "the compiled form can't be had now" if passing else "the compiled form is refused"
        fields = {"compiles_refused": 1, "version": report.fingerprint} | (
            {"retry_s": retry.pause_s} if passing else {}
        )
        logs.emit("error", sentence, error=error, fields=fields)

    def _with_keras(
        self, snapshot: Snapshot, current: LoadedModel | None, deadline: float, pulled: Callable[[], None]
    ) -> LoadedModel:
        phases = Phases()
        with phases.measure("pull"):
            bundle = self._reader.read(snapshot, deadline)
        if current is not None and bundle.fingerprint == current.version:
            return _renamed(current, snapshot)
        pulled()
        with blamed("the bundle"):
            opened = self._open_keras(bundle)
        return _loaded(bundle.fingerprint, snapshot, opened, phases)


class _Retry(Record):
    """From when on, by time.monotonic(), a compiled form that failed is tried again, and how long that pause is."""

    at: float
    pause_s: float


def _loaded(
    version: str, snapshot: Snapshot, loaded: Loaded, phases: Phases, *, compiled_only: bool = False
) -> LoadedModel:
    timings = {**phases.timings_ms, **loaded.timings_ms}
    rest = (loaded.engine, loaded.serving, snapshot.identity, timings, compiled_only)
    return LoadedModel(version, snapshot.updated, *rest)


def _renamed(model: LoadedModel, snapshot: Snapshot) -> LoadedModel:
    """The same model under the objects that hold it now."""
    return replace(model, identity=snapshot.identity, updated=snapshot.updated)
