"""The compile function's work: see to it that the newest bundle has its compiled form, and nothing is half-written.

Events only say that something happened: what is compiled is always what counts now, so duplicates, events out of order,
and bundles swapped meanwhile all come to the same end. The report is written last; without it a model does not count.
Nor does one that isn't what its report says: of two sandboxes that write at once, the second to finish sees that.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier import logs
from classifier.bundles.bundle import Snapshot, Unsettled
from classifier.bundles.compiled import EXPLAIN, HEAD, MODEL, REPORT, Report, key_of
from classifier.bundles.compiled_reader import REPORTS_TRIED
from classifier.compiling.compiler import NEEDED, compile_bundle, refused_report
from classifier.compiling.kept import reworded
from classifier.errors import ModelError, StorageUnavailableError
from classifier.model_memory import COMPILING, MB
from classifier.pictures.headers.picture import ImageLimits
from classifier.s3.storage import ObjectChangedError, ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from classifier.bundles.reader import Bundle, View
    from classifier.bundles.store import ModelStore

PROBES = "probes/"
MAX_PROBES = 16
MARGIN_S = 0.1
CHANGES_TOLERATED = 5
CHANGE_PAUSE_S = 1.0
"""Before the bundle is read again; twice as long each time, since one that is denied looks like one that changes."""
OUT_OF_MEMORY = (MemoryError,)
FORM_FILES = {"float32": MODEL, "float16": "model.float16.tflite", "int8": "model.int8.tflite", EXPLAIN: HEAD}


@dataclass(frozen=True, slots=True)
class CompileJob:
    """Compiles the bundle under one prefix of one bucket; writes nowhere but under its `compiled/`."""

    store: ModelStore
    quantize: Sequence[str] = ()
    memory: int = 0
    """The function's, in bytes; 0 where it is not known."""

    def run(self, deadline: float) -> dict[str, Any]:
        """Compile until the newest bundle has its report, and say what came of it; `deadline` by time.monotonic().

        StorageUnavailableError or UnavailableError for what may pass; a broken bundle is a result.
        """
        try:
            return self._run(deadline)
        except ModelError as error:
            if isinstance(error.__cause__, OUT_OF_MEMORY):
                raise
            logs.emit("error", "the bundle can't be read, so it is not compiled", error=error)
            return {"result": "not readable", "usable": False, "reason": f"{error.code}: {error}"}

    def _run(self, deadline: float) -> dict[str, Any]:
        changes, done, compiled = 0, {"result": "nothing to compile"}, None
        while True:
            view = self.store.bundles.look(deadline)
            if isinstance(view.newest, Unsettled):
                time.sleep(view.newest.wait_s + MARGIN_S)
                continue
            if view.newest is None:
                return {"result": "no whole bundle"}
            if view.newest.identity == compiled:
                return done
            report = self.store.compiled.report_for(view.newest, view.reports, deadline)
            if report is not None and self._is_done(report, deadline):
                return _summary(report, "compiled before")
            try:
                done = _summary(self._compile(view.newest, view, deadline), "compiled")
                compiled, changes = view.newest.identity, 0
            except ObjectChangedError as error:
                changes += 1
                _pause_after(error, changes)

    def _compile(self, snapshot: Snapshot, view: View, deadline: float) -> Report:
        bundle = self.store.bundles.read(snapshot, deadline)
        known = self._known(bundle, view, deadline)
        if known is not None and self._is_done(known, deadline):
            return self._write_report(known.also_for(snapshot.identity), view, deadline)
        if not self.quantize and (kept := self._kept(bundle, view, deadline)) is not None:
            return self._write_report(kept, view, deadline)
        logs.emit("info", "compiling", fields={"version": bundle.fingerprint, "bytes": snapshot.size})
        try:
            COMPILING.check_file(snapshot.weights.size, self.memory, published=snapshot.weights.sha256 is not None)
            report, files = compile_bundle(bundle, self._probes(deadline), self.quantize, self.memory)
        except ModelError as error:
            if isinstance(error.__cause__, OUT_OF_MEMORY):
                raise
            logs.emit("error", "the bundle can't be loaded, so it is not compiled", error=error)
            return self._write_report(refused_report(bundle, error), view, deadline)
        later = self.store.bundles.look_aside(deadline)
        known = self._known(bundle, later, deadline)
        if known is not None and self._serves(known, deadline):
            # It is never written again: between two objects a function that starts would find that they don't match.
            report = known.also_for(snapshot.identity).measured_too(report.measured)
            files = {form: data for form, data in files.items() if form not in known.measured}
            if report == known:
                return known
        self._put_files(bundle, files, deadline)
        return self._write_report(report, later, deadline)

    def _is_done(self, report: Report, deadline: float) -> bool:
        """Whether nothing is left to do for a report's bundle."""
        if not report.usable:
            needed = report.measured.get(NEEDED)
            return needed is None or self.memory < needed * MB
        if not report.says_what_scores_are:
            return False
        asked = set() if report.compiled_only else set(self.quantize)
        return asked <= report.measured.keys() and self._serves(report, deadline)

    def _serves(self, report: Report, deadline: float) -> bool:
        """Whether the report's model is there, and what the report says."""
        if not report.usable or not report.says_what_scores_are:
            return False
        try:
            self.store.compiled.compiled_model(report, deadline)
        except ModelError as error:
            again = "" if report.compiled_only else ", it is made again"
            logs.emit("warning", f"the compiled form is damaged{again}", error=error)
            return report.compiled_only  # nothing here can make it again: `publish` had its source
        return True

    def _known(self, bundle: Bundle, view: View, deadline: float) -> Report | None:
        """The report on the same content under other objects: it need not be compiled again."""
        key = key_of(self.store.prefix, bundle.fingerprint, REPORT)
        found = next((info for info in view.reports if info.key == key), None)
        return self.store.compiled.report(found, deadline) if found is not None else None

    def _kept(self, bundle: Bundle, view: View, deadline: float) -> Report | None:
        """The report to be written where only words of serving.json changed, its compiled form copied; else None."""
        for info in view.reports[:REPORTS_TRIED]:
            before = self.store.compiled.report(info, deadline)
            if before is None or before.fingerprint == bundle.fingerprint or not (mine := reworded(before, bundle)):
                continue
            try:
                files = {"float32": bytes(self.store.compiled.compiled_model(before, deadline))}
                if mine.head_sha256:
                    files[EXPLAIN] = self.store.compiled.head(before, deadline)
            except ModelError as error:
                logs.emit("warning", "a compiled form that could be kept is damaged", error=error)
                continue
            fields = {"version": mine.fingerprint, "kept_from": before.fingerprint}
            logs.emit("info", "the compiled form is kept: serving.json says the same of the numbers", fields=fields)
            self._put_files(bundle, files, deadline)
            return mine
        return None

    def _put_files(self, bundle: Bundle, files: Mapping[str, bytes], deadline: float) -> None:
        for form, data in files.items():
            key = key_of(self.store.prefix, bundle.fingerprint, FORM_FILES[form])
            self._put(key, data, deadline, content_type="application/octet-stream")

    def _write_report(self, report: Report, view: View, deadline: float) -> Report:
        """Write the report; ObjectChangedError if there is another one than in `view`, written by another sandbox."""
        key = key_of(self.store.prefix, report.fingerprint, REPORT)
        there = next((info.etag for info in view.reports if info.key == key), None)
        condition = {"if-none-match": "*"} if there is None else {"if-match": f'"{there}"'}
        self._put(key, report.to_json(), deadline, content_type="application/json", condition=condition)
        return report

    def _put(self, key: str, data: bytes, deadline: float, **how: Any) -> None:  # noqa: ANN401 - as S3.put takes it
        try:
            self.store.s3.put(self.store.bucket, key, data, deadline, **how)
        except (ObjectMissingError, ObjectUnreadableError) as error:
            raise StorageUnavailableError(f"the compiled form can't be written: {error}") from error

    def _probes(self, deadline: float) -> list[bytes]:
        """The bundle's own probe pictures, under `probes/`; those that can't be read are left out."""
        listed = self.store.s3.list(self.store.bucket, self.store.prefix + PROBES, deadline).objects[:MAX_PROBES]
        found, limit = [], ImageLimits().max_bytes
        for info in listed:
            if info.size:
                try:
                    found.append(self.store.s3.get(self.store.bucket, info.key, deadline, max_bytes=limit))
                except (ObjectMissingError, ObjectUnreadableError, ObjectTooLargeError) as error:
                    logs.emit("warning", "a probe picture can't be read, it is left out", error=error)
        return found


def _pause_after(error: ObjectChangedError, changes: int) -> None:
    """Wait before the next look; StorageUnavailableError when enough was tried."""
    if changes >= CHANGES_TOLERATED:
        raise StorageUnavailableError(f"not readable, or changed, {changes} times: {error}") from error
    logs.emit("info", "the bundle changed, or can't be read now; looking again", error=error)
    time.sleep(CHANGE_PAUSE_S * 2 ** (changes - 1))


def _summary(report: Report, result: str) -> dict[str, Any]:
    return {"result": result, "version": report.fingerprint, "usable": report.usable, "reason": report.reason}
