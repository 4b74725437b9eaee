"""Reading bundles from S3: what is newest, what was there before, and the bytes of one, whole or not at all."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from classifier import temporary
from classifier.bundles.bundle import (
    PUBLISHED,
    ROLES,
    Part,
    Publication,
    Role,
    Snapshot,
    Unsettled,
    choose,
    fingerprint,
    parse_publication,
    quiet_moments,
    state_at,
)
from classifier.bundles.compiled import reports_in
from classifier.bundles.serving import uses_labels_file
from classifier.errors import ModelError, ModelTooLargeError, UnavailableError
from classifier.records import Record
from classifier.s3.storage import S3, ObjectChangedError, ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from mmap import mmap

    from classifier.bundles.canary import Plan
    from classifier.s3.listing import Listing, ObjectInfo

MAX_PUBLISHED_BYTES = 1_000_000
MAX_OLDER = 5
MAX_TEXT_BYTES = 16 << 20
"""Of each object but the weights: what is read as JSON takes many times its size in memory."""


class Bundle(Record):
    """The bytes of one bundle, all read from one snapshot, and the fingerprint of their content."""

    snapshot: Snapshot
    parts: Mapping[Role, bytes]
    fingerprint: str
    mapped: mmap | None = None
    """The weights, where they lie in a file and not among the parts."""

    @property
    def weights(self) -> bytes | mmap:
        """The weights file's content."""
        return self.parts["weights"] if self.mapped is None else self.mapped


class View(Record):
    """What lies under the prefix at one moment of S3's clock."""

    newest: Snapshot | Unsettled | None
    reports: tuple[ObjectInfo, ...]
    """Reports of compiled forms, newest first."""
    now: float
    canary: Plan | None = None


class BundleReader:
    """The bundle under one prefix of one bucket."""

    def __init__(self, s3: S3, bucket: str, prefix: str, *, settle_s: float, max_bytes: int) -> None:
        self._s3, self._bucket, self._prefix = s3, bucket, prefix
        self._settle_s, self._max_bytes = settle_s, max_bytes
        self._publication: tuple[tuple[str, float], Publication] | None = None
        self._in_parts: dict[tuple[str, str], float] | None = None

    def look(self, deadline: float) -> View:
        """What is there now, by one list request, and one read when `published.json` is new.

        `deadline` by time.monotonic(). StorageUnavailableError, UnavailableError if the prefix may not be listed, and
        ModelError if `published.json` can't be read.
        """
        listing = self._listing(deadline)
        own = [info for info in listing.objects if "/" not in info.key.removeprefix(self._prefix)]
        publication = self._published(own, deadline)
        newest = choose(own, publication, listing.server_time, self._settle_s)
        newest = self._settled(newest, listing.server_time)
        canary = self._canary(publication, newest) if publication and publication.canary is not None else None
        return View(newest, reports_in(listing.objects, self._prefix), listing.server_time, canary)

    def _canary(self, publication: Publication, newest: Snapshot | Unsettled | None) -> Plan | None:
        from classifier.bundles.canary import plan_of

        return plan_of(publication, newest, self._prefix)

    def look_aside(self, deadline: float) -> View:
        """The same without what is newest, for when `published.json` can't be read and an older bundle has to do."""
        listing = self._listing(deadline)
        return View(None, reports_in(listing.objects, self._prefix), listing.server_time)

    def _settled(self, newest: Snapshot | Unsettled | None, now: float) -> Snapshot | Unsettled | None:
        """The same; what was swapped by an upload in parts counts `settle_s` after it was first seen here.

        S3 dates such an object at the beginning of its upload ("Working with object metadata"), its ETag has a hyphen.
        """
        if not isinstance(newest, Snapshot):
            return newest
        parts = [(part.key, part.etag) for part in newest.parts if part.sha256 is None and "-" in part.etag]
        known = self._in_parts
        # At a first look nothing tells how long they have been there.
        self._in_parts = dict.fromkeys(parts, now if known is not None else 0.0) | {
            part: since for part, since in (known or {}).items() if part in parts
        }
        wait_s = max(self._in_parts.values(), default=0.0) + self._settle_s - now
        return Unsettled(wait_s) if wait_s > 0 else newest

    def _listing(self, deadline: float) -> Listing:
        try:
            return self._s3.list(self._bucket, self._prefix, deadline)
        except ObjectMissingError as error:
            raise UnavailableError(str(error)) from error

    def older(self, deadline: float) -> Iterator[Snapshot]:
        """Earlier whole bundles, newest first, out of the bucket's version history; none if it keeps no versions."""
        try:
            listing = self._s3.list_versions(self._bucket, self._prefix, deadline)
        except ObjectMissingError:
            return
        found: list[frozenset[object]] = []
        for moment in quiet_moments(listing.objects, self._settle_s, listing.server_time):
            state = state_at(listing.objects, moment)
            try:
                snapshot = choose(state, self._published(state, deadline), listing.server_time, 0)
            except ModelError:
                continue
            if isinstance(snapshot, Snapshot) and snapshot.stated not in found:
                found.append(snapshot.stated)
                yield snapshot
            if len(found) >= MAX_OLDER:
                return

    def read(self, snapshot: Snapshot, deadline: float) -> Bundle:
        """The snapshot's bytes, its objects read in parallel; ObjectChangedError if one was replaced meanwhile."""
        if snapshot.size > self._max_bytes:
            raise ModelTooLargeError(f"the bundle has {snapshot.size} bytes, at most {self._max_bytes} are loaded")
        for part in snapshot.parts:
            if part.role != "weights" and part.size > MAX_TEXT_BYTES:
                raise ModelTooLargeError(f"{part.key} has {part.size} bytes, at most {MAX_TEXT_BYTES} are read")
        found = _in_parallel({part.role: part for part in snapshot.parts}, lambda part: self._content(part, deadline))
        parts = {role: data for role, data in found.items() if isinstance(data, bytes)}
        if "labels" in parts and not uses_labels_file(parts.get("serving")):
            del parts["labels"]
        weights = found["weights"]
        digests = {role: hashlib.sha256(data).hexdigest() for role, data in {**parts, "weights": weights}.items()}
        temporary.give_back(weights)
        for part in snapshot.parts:
            if part.sha256 and part.role in digests and digests[part.role] != part.sha256:
                raise ModelError(f"{part.key}: SHA-256 {digests[part.role]}, {PUBLISHED} says {part.sha256}")
        return Bundle(snapshot, parts, fingerprint(digests), None if isinstance(weights, bytes) else weights)

    def _content(self, part: Part, deadline: float) -> bytes | mmap:
        """A part's bytes. Weights go to a file, so that they take memory once only: in the model that gets them."""
        if part.role != "weights":
            return self._part(part, deadline)
        with temporary.file(part.size) as file, _translated():
            self._s3.download(self._bucket, part.key, deadline, max_bytes=self._max_bytes, into=file, **_pin(part))
            return _whole(part, temporary.content(file))

    def _part(self, part: Part, deadline: float) -> bytes:
        with _translated():
            return _whole(part, self._s3.get(self._bucket, part.key, deadline, max_bytes=self._max_bytes, **_pin(part)))

    def _published(self, objects: tuple[ObjectInfo, ...] | list[ObjectInfo], deadline: float) -> Publication | None:
        info = next((info for info in objects if info.key == self._prefix + PUBLISHED), None)
        if info is None:
            return None
        if self._publication is None or self._publication[0] != (info.etag, info.modified):
            part = Part(ROLES["serving.json"], info.key, info.etag, info.size, info.modified, info.version_id)
            if info.size > MAX_PUBLISHED_BYTES:
                raise ModelError(f"{info.key} has {info.size} bytes, at most {MAX_PUBLISHED_BYTES} are read")
            data = self._part(part, deadline)
            self._publication = ((info.etag, info.modified), parse_publication(data, info.modified, self._prefix))
        return self._publication[1]


def _pin(part: Part) -> dict[str, str]:
    """What asks S3 for just this object: its version where the bucket keeps any, else its ETag."""
    return {"version_id": part.version_id} if part.version_id not in (None, "null") else {"if_match": part.etag}


@contextmanager
def _translated() -> Iterator[None]:
    """What S3 says of a bundle's object, as what it means for the bundle."""
    try:
        yield
    except ObjectMissingError as error:
        raise ObjectChangedError(str(error)) from error
    except ObjectUnreadableError as error:
        raise UnavailableError(str(error)) from error
    except ObjectTooLargeError as error:
        raise ModelTooLargeError(str(error)) from error


def _whole[Data: (bytes, bytes | mmap)](part: Part, data: Data) -> Data:
    if len(data) != part.size:
        raise ObjectChangedError(f"{part.key}: {len(data)} bytes, listed with {part.size}")
    return data


def _in_parallel[Data](parts: Mapping[Role, Part], read: Callable[[Part], Data]) -> dict[Role, Data]:
    results: dict[Role, Data] = {}
    failures: list[Exception] = []

    def run(role: Role, part: Part) -> None:
        try:
            results[role] = read(part)
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that asked
            failures.append(error)

    threads = [threading.Thread(target=run, args=item) for item in parts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results
