"""Putting a model into S3 so that stopping anywhere leaves the served model as it was.

Objects go under keys that nothing serves (`versions/<fingerprint>/`, `compiled/<fingerprint>/`), each checked by S3
against its SHA-256; published.json comes last and makes them the model, whole. The root keys (`architecture.json` and
so on) are never written: there a half-finished upload would look like a swap by hand.
"""

from __future__ import annotations

import base64
import hashlib
from copy import replace
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import ROLES, Identity, Part, Role, Snapshot, fingerprint
from classifier.bundles.compiled import MODEL, REPORT, Report, key_of, parse_report
from classifier.bundles.reader import Bundle
from classifier.errors import ModelError
from lifecycle import record, shares
from lifecycle.console import megabytes
from lifecycle.errors import UsageError
from lifecycle.place import NOT_THERE, Place, error_code, s3_trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lifecycle.record import Record
    from lifecycle.shares import Share

VERSIONS = "versions/"
MAX_PUT_BYTES = 5 * 2**30
"""The largest object of a single PutObject or CopyObject (Amazon S3 User Guide, "Uploading objects")."""
_KINDS = {"architecture.json": "application/json", "serving.json": "application/json", "labels.txt": "text/plain"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What will be published: the bundle's files by name, its compiled form, and what published.json tells of it."""

    files: Mapping[str, bytes] = field(repr=False)
    source: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    report: Report | None = None
    compiled: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Files under compiled/<fingerprint>/ by name; none where LiteRT can't serve the model, as `report` then says."""

    @property
    def version(self) -> str:
        """The fingerprint."""
        return version_of(self.files)


def version_of(files: Mapping[str, bytes]) -> str:
    """The fingerprint of a bundle's files."""
    return fingerprint({ROLES[name]: hashlib.sha256(data).hexdigest() for name, data in files.items()})


def as_bundle(files: Mapping[str, bytes]) -> Bundle:
    """The files as the function would have read them; the ETags are made up until S3 gives some."""
    parts: dict[Role, bytes] = {ROLES[name]: data for name, data in files.items()}
    made_up = tuple(
        Part(ROLES[name], name, hashlib.sha256(data).hexdigest(), len(data), 0.0) for name, data in files.items()
    )
    return Bundle(Snapshot(made_up, 0.0), parts, version_of(files))


def put_release(
    place: Place, release: Release, seen: Record | None, tell: Callable[[str], None], share: Share | None = None
) -> Record:
    """Upload everything and make it the served model, if what is published still is what `seen` was.

    With a `share` only the canary beside it, which needs a `seen`.

    ConflictError, PlaceError: then nothing changed for those who are served.
    """
    objects: dict[str, dict[str, Any]] = {}
    for name, data in release.files.items():
        key = f"{place.prefix}{VERSIONS}{release.version}/{name}"
        tell(f"uploading {name}, {megabytes(len(data))}")
        objects[name] = put(place, key, data, _KINDS.get(name, "application/octet-stream"))
    if release.report is not None and usable_report(place, release.version) is None:
        identity: Identity = frozenset((ROLES[name], str(entry["etag"])) for name, entry in objects.items())
        _put_compiled(place, replace(release.report, identities=(identity,)), release.compiled, tell)
    tell("writing published.json")
    at = record.now()
    document = {
        "version": release.version,
        "published": at,
        "activated": at,
        "source": release.source,
        "objects": objects,
        **release.facts,
    }
    if share is not None and seen is not None:
        return record.write(place, shares.begun(seen, document, share), seen)
    return record.write(place, shares.kept(seen, document), seen)


def put(place: Place, key: str, data: bytes, kind: str) -> dict[str, Any]:
    """Store one object, S3 checking its SHA-256, and return what published.json says of it."""
    if len(data) > MAX_PUT_BYTES:
        raise UsageError(f"{key} has {len(data)} bytes; models of up to 5 GB can be published")
    digest = hashlib.sha256(data)
    with s3_trouble(f"writing s3://{place.bucket}/{key}"):
        answer = place.client.put_object(
            Bucket=place.bucket,
            Key=key,
            Body=data,
            ContentType=kind,
            ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
        )
    return {
        "key": key,
        "version_id": answer.get("VersionId", "null"),
        "etag": answer["ETag"].strip('"'),
        "size": len(data),
        "sha256": digest.hexdigest(),
    }


def _put_compiled(place: Place, report: Report, files: Mapping[str, bytes], tell: Callable[[str], None]) -> None:
    """The model first, its report last: a report stands for a whole compiled form."""
    for name, data in files.items():
        tell(f"uploading the compiled form {name}, {megabytes(len(data))}")
        put(place, key_of(place.prefix, report.fingerprint, name), data, "application/octet-stream")
    key = key_of(place.prefix, report.fingerprint, REPORT)
    put(place, key, report.to_json(), "application/json")


def usable_report(place: Place, version: str) -> Report | None:
    """The report of a compiled form that serves this version already, None if there is none.

    Such a form is never written again: between its two objects a function that starts would find them not to match.
    """
    from botocore.exceptions import ClientError

    key, model = (key_of(place.prefix, version, name) for name in (REPORT, MODEL))
    with s3_trouble(f"reading s3://{place.bucket}/{key}"):
        try:
            report = parse_report(place.client.get_object(Bucket=place.bucket, Key=key)["Body"].read())
            head = place.client.head_object(Bucket=place.bucket, Key=model)
        except ModelError:
            return None
        except ClientError as error:
            if error_code(error) in NOT_THERE:
                return None
            raise
    return report if report.usable and head["ContentLength"] == report.model_bytes else None
