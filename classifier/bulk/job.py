"""Pictures that lie in S3, classified for nobody who waits: rows are written to S3, under keys that follow from the
pictures alone. Whatever is delivered or tried twice is written twice to the same key, and is there once.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

from classifier import logs, metrics
from classifier.bulk.notices import Located, NoticeError, created_in
from classifier.bulk.rows import as_lines, may_pass, row_of
from classifier.errors import ClassifierError, RequestError, S3KeyError, UnavailableError
from classifier.service import Classifier, ImageStore
from classifier.web.sources import Batch, Link, Question

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from classifier.bulk.rows import Row
    from classifier.pictures.headers.picture import ImageLimits
    from classifier.s3.storage import S3
    from classifier.service import Models
    from classifier.settings import Settings

PREFIX = "RESULTS_PREFIX"
DEFAULT_PREFIX = "results/"
WRITERS = 16
WRITING_S = 5.0
"""Time kept back for writing rows."""
MAX_KEY_BYTES = 1024


class BulkJob:
    """Classifies the pictures of one bucket and prefix, and writes their rows to another prefix of that bucket."""

    def __init__(self, models: Models, pictures: ImageStore, limits: ImageLimits, results_prefix: str) -> None:
        self._models, self._pictures, self._limits = models, pictures, limits
        self._results_prefix = results_prefix

    @classmethod
    def from_settings(cls, models: Models, s3: S3, settings: Settings, environ: Mapping[str, str]) -> Self:
        """As the environment says; ValueError if results would lie among the pictures, and be taken for some."""
        from classifier.pictures.headers.picture import ImageLimits

        prefix = environ.get(PREFIX, DEFAULT_PREFIX)
        if not prefix.endswith("/") or prefix.startswith(settings.image_prefix):
            raise ValueError(f"{PREFIX}={prefix!r}: expected a prefix that ends in a slash, outside IMAGE_PREFIX")
        pictures = ImageStore(s3, settings.image_bucket, settings.image_prefix, settings.max_image_bytes)
        return cls(models, pictures, ImageLimits.from_settings(settings, environ), prefix)

    def run(self, event: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        """Answer a batch of a queue, or one of a list; RequestError for anything else."""
        if "Items" in event:
            return self.listed(event, deadline)
        if "Records" in event:
            return self.queued(event["Records"], deadline)
        raise RequestError("neither Records of a queue nor Items of a list")

    def queued(self, messages: Sequence[Mapping[str, Any]], deadline: float) -> dict[str, Any]:
        """Classify what the messages name, one object of one row for each picture.

        Returns the messages that should come again: those nobody can read, which so end among the dead letters, and
        those whose pictures could not be read, classified or written for now. A broken picture has its row and is done.
        """
        named: dict[str, tuple[Located, ...]] = {}
        failed: list[str] = []
        for message in messages:
            try:
                named[message["messageId"]] = created_in(message["body"])
            except NoticeError as error:
                logs.emit("error", "a message in the queue is not S3's", error=error)
                failed.append(message["messageId"])
        pictures = list(dict.fromkeys(picture for found in named.values() for picture in found))
        done = self._rows_written(pictures, deadline)
        failed += [message for message, found in named.items() if not done.issuperset(found)]
        return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}

    def listed(self, event: Mapping[str, Any], deadline: float) -> dict[str, Any]:
        """Classify a batch of a Distributed Map over listed objects, and write one object with all rows.

        Raises what may pass, so that the whole batch is tried again: the same batch writes to the same key.
        """
        items = [item for item in event["Items"] if not (item["Key"].endswith("/") and item["Size"] == 0)]
        etags = [str(item.get("Etag") or item.get("ETag") or "").strip('"') for item in items]
        bucket = self._pictures.bucket
        pictures = [Located(bucket, item["Key"], None, etag) for item, etag in zip(items, etags, strict=True)]
        rows = self._rows(pictures, deadline - WRITING_S)
        passing = [row for row in rows if may_pass(row)]
        if passing:
            raise UnavailableError(
                f"{len(passing)} of {len(rows)} pictures, for instance {passing[0]['error']['code']}"
            )
        run = _run_name(event)
        digest = hashlib.sha256("\0".join(f"{one.key}\0{one.etag}" for one in pictures).encode()).hexdigest()[:32]
        key = f"{self._results_prefix}lists/{run}/{digest}.jsonl"
        if rows:
            self._write(key, rows, deadline)
        return {"pictures": len(rows), "refused": sum("error" in row for row in rows), "results": key}

    def _rows_written(self, pictures: Sequence[Located], deadline: float) -> set[Located]:
        """Those whose rows are in S3."""
        if not pictures:
            return set()
        try:
            rows = self._rows(pictures, deadline - WRITING_S)
        except ClassifierError as error:  # of the model, so all of them come again
            logs.emit("error", "a batch of the queue comes again", error=error)
            return set()
        final = [(one, row) for one, row in zip(pictures, rows, strict=True) if not may_pass(row)]

        def write(found: tuple[Located, Row]) -> Located | None:
            picture, row = found
            try:
                self._write(self.key_of(picture), [row], deadline)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are written, and this one comes again
                logs.emit("error", "a row was not written", error=error)
                return None
            return picture

        with ThreadPoolExecutor(WRITERS) as writers:
            return {picture for picture in writers.map(write, final) if picture is not None}

    def key_of(self, picture: Located) -> str:
        """Where a picture's row is: `results/<its key>/<its version>.jsonl`, so that whoever knows the one finds it."""
        key = f"{self._results_prefix}{picture.key}/{picture.identity}.jsonl"
        if len(key.encode()) <= MAX_KEY_BYTES:
            return key
        digest = hashlib.sha256(picture.key.encode()).hexdigest()
        return f"{self._results_prefix}{digest}/{picture.identity}.jsonl"

    def _rows(self, pictures: Sequence[Located], deadline: float) -> list[Row]:
        """A row for each, in order; whatever keeps the model from being loaded is raised."""
        from classifier.batches import classify_batch
        from classifier.phases import Phases

        def read(index: str, until: float) -> bytes:
            return self._read(pictures[int(index)], until)

        # To the service, a version of an object is a link that this module can follow.
        classifier = Classifier(self._models, "", read, self._pictures, self._limits)
        batch = Batch(tuple(Question(Link(str(index)), None) for index in range(len(pictures))))
        phases = Phases()
        everything = len(pictures) * self._pictures.max_bytes
        done = classify_batch(classifier, batch, phases, deadline, max_bytes=everything)
        rows = [
            row_of(one.named(), result, done["model"]) for one, result in zip(pictures, done["results"], strict=True)
        ]
        again = sum(map(may_pass, rows))
        refused = sum("error" in row for row in rows) - again
        fields = {"pictures": len(rows), "refused": refused, "again": again, "timings_ms": phases.finish()}
        logs.emit("info", "bulk", fields=fields | metrics.doubts(rows))
        return rows

    def _read(self, picture: Located, deadline: float) -> bytes:
        if picture.bucket != self._pictures.bucket or not picture.key.startswith(self._pictures.prefix):
            raise S3KeyError(f"s3://{picture.bucket}/{picture.key} is not under the prefix")
        return self._pictures.read_listed(picture.key, deadline, picture.version_id)

    def _write(self, key: str, rows: Sequence[Row], deadline: float) -> None:
        data = as_lines(rows)
        self._pictures.s3.put(self._pictures.bucket, key, data, deadline, content_type="application/jsonl")


def _run_name(event: Mapping[str, Any]) -> str:
    """The execution's name, which is the folder of its results; RequestError unless it is a plain name."""
    name = (event.get("BatchInput") or {}).get("run")
    if not isinstance(name, str) or not name.replace("-", "").replace("_", "").isalnum() or len(name) > 80:
        raise RequestError(f"BatchInput.run is {name!r}")
    return name
