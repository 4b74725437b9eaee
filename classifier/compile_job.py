"""The compile function's work: see to it that the newest bundle has its compiled form, and nothing is half-written.

Events only say that something happened: what is compiled is always what counts now, so duplicates, events out of order,
and bundles swapped meanwhile all come to the same end. The report is written last; without it a model does not count.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from classifier import logs
from classifier.bundle import PUBLISHED, ROLES, Snapshot, Unsettled
from classifier.compiled import MODEL, REPORT, Report, key_of
from classifier.compiler import compile_bundle, refused_report
from classifier.errors import ModelError
from classifier.images import ImageLimits
from classifier.named_models import is_name
from classifier.storage import ObjectChangedError, ObjectMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from classifier.bundle_reader import Bundle, View
    from classifier.model_store import ModelStore

PROBES = "probes/"
MAX_PROBES = 16
MARGIN_S = 0.1
FORM_FILES = {"float32": MODEL, "float16": "model.float16.tflite", "int8": "model.int8.tflite"}


@dataclass(frozen=True, slots=True)
class CompileJob:
    """Compiles the bundle under one prefix of one bucket; writes nowhere but under its `compiled/`."""

    store: ModelStore
    quantize: Sequence[str] = ()

    def run(self, deadline: float) -> dict[str, Any]:
        """Compile until the newest bundle has its report, and say what came of it; `deadline` by time.monotonic()."""
        done: dict[str, Any] = {"result": "nothing to compile"}
        while True:
            view = self.store.bundles.look(deadline)
            if isinstance(view.newest, Unsettled):
                time.sleep(view.newest.wait_s + MARGIN_S)
                continue
            if view.newest is None:
                return {"result": "no whole bundle"}
            report = self.store.compiled.report_for(view.newest, view.reports, deadline)
            if report is not None:
                return done if done.get("version") == report.fingerprint else _summary(report, "compiled before")
            try:
                done = _summary(self._compile(view.newest, view, deadline), "compiled")
            except ObjectChangedError as error:
                logs.emit("info", "the bundle changed while it was read, looking again", error=error)

    def _compile(self, snapshot: Snapshot, view: View, deadline: float) -> Report:
        bundle = self.store.bundles.read(snapshot, deadline)
        known = self._known(bundle, view, deadline)
        if known is not None:
            return self._write_report(known.also_for(snapshot.identity), deadline)
        try:
            report, files = compile_bundle(bundle, self._probes(deadline), self.quantize)
        except ModelError as error:
            logs.emit("error", "the bundle can't be loaded, so it is not compiled", error=error)
            return self._write_report(refused_report(bundle, error), deadline)
        for form, data in files.items():
            key = key_of(self.store.prefix, bundle.fingerprint, FORM_FILES[form])
            self.store.s3.put(self.store.bucket, key, data, deadline, content_type="application/octet-stream")
        return self._write_report(report, deadline)

    def _known(self, bundle: Bundle, view: View, deadline: float) -> Report | None:
        """The report on the same content under other objects: it need not be compiled again."""
        key = key_of(self.store.prefix, bundle.fingerprint, REPORT)
        found = next((info for info in view.reports if info.key == key), None)
        return self.store.compiled.report(found, deadline) if found is not None else None

    def _write_report(self, report: Report, deadline: float) -> Report:
        key = key_of(self.store.prefix, report.fingerprint, REPORT)
        self.store.s3.put(self.store.bucket, key, report.to_json(), deadline, content_type="application/json")
        return report

    def _probes(self, deadline: float) -> list[bytes]:
        """The bundle's own probe pictures, under `probes/`."""
        listed = self.store.s3.list(self.store.bucket, self.store.prefix + PROBES, deadline).objects[:MAX_PROBES]
        limit = ImageLimits().max_bytes
        try:
            return [
                self.store.s3.get(self.store.bucket, info.key, deadline, max_bytes=limit)
                for info in listed
                if info.size
            ]
        except ObjectMissingError as error:
            raise ObjectChangedError(str(error)) from error


@dataclass(frozen=True, slots=True)
class CompileJobs:
    """The jobs of the models that an event is about: the prefix's own, and those in folders of their names under it."""

    own: CompileJob
    inside: Callable[[str], ModelStore]
    """A named model's place."""

    def run(self, event: Mapping[str, Any], deadline: float) -> list[dict[str, Any]]:
        """What came of each model that the event concerns, named if it has a name; none for an event about others."""
        done = []
        for name in self.concerned(event):
            job = replace(self.own, store=self.inside(name)) if name else self.own
            done.append(job.run(deadline) | ({"model": name} if name else {}))
        return done

    def concerned(self, event: Mapping[str, Any]) -> list[str]:
        """Names of the models whose bundles an event is about, "" for the prefix's own.

        S3 sends notifications of its own, whose keys are form-encoded, or events by EventBridge, whose keys are not. An
        event about no object asks for a look anyway: at the model that `model` names, or else at the prefix's own.
        """
        from urllib.parse import unquote_plus

        if "Records" in event:
            keys = [unquote_plus(record["s3"]["object"]["key"]) for record in event["Records"]]
        elif "detail" in event:
            keys = [event["detail"]["object"]["key"]]
        else:
            keys = [f"{self.own.store.prefix}{f'{event["model"]}/' if event.get('model') else ''}{PUBLISHED}"]
        return sorted({name for key in keys if (name := self._name(key)) is not None})

    def _name(self, key: str) -> str | None:
        """The name of the model that an object is part of; None for one that is no part of any."""
        if not key.startswith(self.own.store.prefix):
            return None
        folder, _, file = key.removeprefix(self.own.store.prefix).rpartition("/")
        if file not in ROLES and file != PUBLISHED:
            return None
        return folder if not folder or is_name(folder) else None


def _summary(report: Report, result: str) -> dict[str, Any]:
    return {"result": result, "version": report.fingerprint, "usable": report.usable, "reason": report.reason}
