"""Reading compiled forms from S3: the report that belongs to a bundle, and the model that it is about."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from classifier import logs, temporary
from classifier.bundles.compiled import (
    HEAD,
    MAX_REPORT_BYTES,
    MODEL,
    REPORT,
    Report,
    key_of,
    known_fingerprint,
    parse_report,
)
from classifier.errors import ModelError
from classifier.s3.storage import S3, ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError

if TYPE_CHECKING:
    from mmap import mmap

    from classifier.bundles.bundle import Snapshot
    from classifier.s3.listing import ObjectInfo

REPORTS_TRIED = 5
MAX_HEAD_BYTES = 20_000_000


class CompiledReader:
    """The compiled forms under one prefix of one bucket. Reports are read once for each ETag."""

    def __init__(self, s3: S3, bucket: str, prefix: str, *, max_bytes: int) -> None:
        self._s3, self._bucket, self._prefix = s3, bucket, prefix
        self._max_bytes = max_bytes
        self._reports: dict[str, tuple[str, Report | None]] = {}

    def report_for(self, snapshot: Snapshot, reports: tuple[ObjectInfo, ...], deadline: float) -> Report | None:
        """The report of the snapshot's compiled form, if there is one: by fingerprint, or by the objects it names."""
        known = known_fingerprint(snapshot)
        # With labels in two places only reading tells which of them count, and so what the fingerprint is.
        if known is not None and not {"labels", "serving"} <= {part.role for part in snapshot.parts}:
            key = key_of(self._prefix, known, REPORT)
            reports = tuple(info for info in reports if info.key == key)
        for info in reports[:REPORTS_TRIED]:
            report = self.report(info, deadline)
            if report is not None and (report.fingerprint == known or snapshot.identity in report.identities):
                return report
        return None

    def compiled_model(self, report: Report, deadline: float) -> bytes | mmap:
        """The compiled form that the report is about; ModelError if it isn't there, or isn't that: both may pass.

        A mapping of a file that has no name any more: the kernel may drop its pages and read them again, where bytes
        would stay beside what the engine makes of them. Bytes where there is no room for a file.
        """
        key = key_of(self._prefix, report.fingerprint, MODEL)
        with temporary.file(report.model_bytes) as file:
            try:
                self._s3.download(self._bucket, key, deadline, max_bytes=self._max_bytes, into=file)
            except (ObjectMissingError, ObjectUnreadableError, ObjectTooLargeError) as error:
                raise ModelError(str(error)) from error
            file.seek(0)
            if hashlib.file_digest(file, "sha256").hexdigest() != report.model_sha256:  # type: ignore[arg-type]
                raise ModelError(f"{key} is not what its report is about")
            return temporary.content(file)

    def head(self, report: Report, deadline: float) -> bytes:
        """What explains the model that the report is about; ModelError if it isn't there, or isn't that."""
        key = key_of(self._prefix, report.fingerprint, HEAD)
        try:
            data = self._s3.get(self._bucket, key, deadline, max_bytes=MAX_HEAD_BYTES)
        except (ObjectMissingError, ObjectUnreadableError, ObjectTooLargeError) as error:
            raise ModelError(str(error)) from error
        if hashlib.sha256(data).hexdigest() != report.head_sha256:
            raise ModelError(f"{key} is not what its report is about")
        return data

    def report(self, info: ObjectInfo, deadline: float) -> Report | None:
        """The report, None (and a line in the log) if it can't be used; kept for as long as its ETag stays.

        One that is missing or denied is asked for again the next time, as that may pass.
        """
        if self._reports.get(info.key, ("", None))[0] != info.etag:
            try:
                data = self._s3.get(self._bucket, info.key, deadline, max_bytes=MAX_REPORT_BYTES)
                self._reports[info.key] = (info.etag, parse_report(data))
            except (ObjectMissingError, ObjectUnreadableError) as error:
                logs.emit("warning", "a compiled form's report can't be read now", error=error)
                return None
            except (ObjectTooLargeError, ModelError) as error:
                logs.emit("warning", "a compiled form's report can't be used", error=error)
                self._reports[info.key] = (info.etag, None)
        return self._reports[info.key][1]
