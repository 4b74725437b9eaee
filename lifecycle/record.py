"""published.json: what it says, its history, and writing it so that of two who publish at once one wins.

Whatever comes before it changes nothing that is served; writing it is the one moment at which a model goes live.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import PUBLISHED, ROLES, Snapshot, parse_publication
from classifier.documents import Fields, check, read_object
from classifier.errors import ModelError
from lifecycle.errors import ConflictError, PlaceError
from lifecycle.place import NOT_THERE, Place, error_code, s3_trouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_RECORDS = 200
MAX_BYTES = 1_000_000
_RECORD = Fields({"objects": {str: dict}})
LOST = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")


@dataclass(frozen=True, slots=True)
class Record:
    """One version of published.json; `written` is when S3 got it, in seconds since the epoch."""

    document: Mapping[str, Any]
    etag: str
    written: float

    @property
    def version(self) -> str:
        """The model's fingerprint."""
        return str(self.document.get("version", ""))

    @property
    def published(self) -> str:
        """When the model was published, ISO 8601; going back to it keeps this time."""
        return str(self.document.get("published", ""))

    @property
    def is_return(self) -> bool:
        """Whether this brought no new model: it went back to one, or was about a canary beside it."""
        return self.document.get("action") in ("rollback", "canary")

    @property
    def objects(self) -> Mapping[str, Mapping[str, Any]]:
        """What it pins, by name."""
        found: Mapping[str, Mapping[str, Any]] = self.document.get("objects", {})
        return found

    @property
    def verified(self) -> bool:
        """Whether publishing compared the model with its source and both engines with each other."""
        return bool(self.document.get("verified"))

    def snapshot(self, prefix: str) -> Snapshot:
        """What the function would read for it; PlaceError if it is malformed."""
        try:
            publication = parse_publication(json.dumps(self.document).encode(), self.written, prefix)
        except ModelError as error:
            raise PlaceError(str(error)) from error
        return Snapshot(tuple(sorted(publication.parts, key=lambda part: part.role)), self.written)


def now() -> str:
    """The time as published.json holds it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_current(place: Place) -> Record | None:
    """What is published now, None if nothing is."""
    return _read(place, None)


def history(place: Place) -> list[Record]:
    """Every version of published.json that the bucket kept, newest first, at most 200."""
    records = []
    for version_id in _version_ids(place):
        record = _read(place, version_id)
        if record is not None:
            records.append(record)
        if len(records) >= MOST_RECORDS:
            break
    return records


def existing(place: Place) -> set[tuple[str, str]]:
    """(key, VersionId) of every object version under the prefix, to tell which records can still be served."""
    with s3_trouble(f"listing the versions of {place.url}"):
        pages = place.client.get_paginator("list_object_versions").paginate(Bucket=place.bucket, Prefix=place.prefix)
        return {(item["Key"], item["VersionId"]) for page in pages for item in page.get("Versions", [])}


def is_whole(record: Record, there: set[tuple[str, str]]) -> bool:
    """Whether every object that the record pins is still there."""
    pins = [(entry.get("key"), entry.get("version_id")) for name, entry in record.objects.items() if name in ROLES]
    return bool(pins) and all(pin in there for pin in pins)


def write(place: Place, document: Mapping[str, Any], seen: Record | None) -> Record:
    """Write published.json if it still is what `seen` was (None: if there is none); ConflictError if it isn't.

    It also names the objects at the root that are older, which S3's times, whole seconds, may not tell.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    document = {**document, "replaced": _at_the_root(place)}
    key, body = place.prefix + PUBLISHED, json.dumps(document, indent=1).encode()
    condition = {"IfMatch": f'"{seen.etag}"'} if seen else {"IfNoneMatch": "*"}
    with s3_trouble(f"writing s3://{place.bucket}/{key}"):
        try:
            put = place.client.put_object(
                Bucket=place.bucket, Key=key, Body=body, ContentType="application/json", **condition
            )
        except (BotoCoreError, ResponseParserError) as error:
            return _after_no_reply(place, document, error)
        except ClientError as error:
            if error.response["ResponseMetadata"].get("HTTPStatusCode", 0) >= 500:
                return _after_no_reply(place, document, error)
            if error_code(error) not in (*LOST, *NOT_THERE):
                raise
            return _after_a_lost_race(place, document, error)
    return Record(document, put["ETag"].strip('"'), datetime.now(UTC).timestamp())


def _after_no_reply(place: Place, document: Mapping[str, Any], error: Exception) -> Record:
    """S3 may have written it all the same: what it holds now tells."""
    try:
        current = read_current(place)
    except PlaceError as second:
        raise PlaceError(
            f"S3 did not say whether published.json was written ({error}), and can't be asked ({second}): "
            f"`list` will show what serves"
        ) from error
    if current is not None and current.document == document:
        return current
    raise PlaceError(f"writing {place.url}/{PUBLISHED}: {error}. Nothing of yours went live") from error


def _at_the_root(place: Place) -> dict[str, str]:
    """ETags by name of what was swapped in by hand until now."""
    with s3_trouble(f"listing {place.url}"):
        pages = place.client.get_paginator("list_objects_v2").paginate(
            Bucket=place.bucket, Prefix=place.prefix, Delimiter="/"
        )
        found = [
            (item["Key"].removeprefix(place.prefix), item["ETag"])
            for page in pages
            for item in page.get("Contents", [])
        ]
    return {name: etag.strip('"') for name, etag in found if name in ROLES}


def _after_a_lost_race(place: Place, document: Mapping[str, Any], error: Exception) -> Record:
    """boto3 sends again when a reply is lost: then what refuses the second attempt is the first one's own success."""
    current = read_current(place)
    if current is not None and current.document == document:
        return current
    other = f"{current.version} (published {current.published})" if current else "nothing: published.json was deleted"
    raise ConflictError(
        f"somebody else published meanwhile: {place.url} now has {other}. Nothing of yours went live"
    ) from error


def _version_ids(place: Place) -> Iterator[str]:
    key = place.prefix + PUBLISHED
    with s3_trouble(f"listing the versions of s3://{place.bucket}/{key}"):
        pages = place.client.get_paginator("list_object_versions").paginate(Bucket=place.bucket, Prefix=key)
        for page in pages:
            yield from (item["VersionId"] for item in page.get("Versions", []) if item["Key"] == key)


def _read(place: Place, version_id: str | None) -> Record | None:
    from botocore.exceptions import ClientError

    key = place.prefix + PUBLISHED
    pin = {"VersionId": version_id} if version_id else {}
    with s3_trouble(f"reading s3://{place.bucket}/{key}"):
        try:
            got = place.client.get_object(Bucket=place.bucket, Key=key, **pin)
        except ClientError as error:
            if error_code(error) in NOT_THERE:
                return None
            raise
        body = got["Body"].read(MAX_BYTES + 1)[:MAX_BYTES]
    return Record(_document(body, key), got["ETag"].strip('"'), got["LastModified"].timestamp())


def _document(body: bytes, key: str) -> Mapping[str, Any]:
    try:
        document = read_object(body, key)
        check(document, _RECORD, key)
    except ModelError as error:
        raise PlaceError(f"{key} is no record of a publication: {error}") from error
    return document
