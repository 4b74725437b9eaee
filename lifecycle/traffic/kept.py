"""Pictures that a service kept, read back from the image bucket: with their answers, and what callers said of them."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from classifier.captures.capture import PREFIX, RECORD
from classifier.captures.feedback import SUFFIX
from classifier.documents import Fields, blamed, check, read_object
from classifier.errors import ModelError
from lifecycle.errors import UsageError
from lifecycle.place import Place, find_place, s3_trouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lifecycle.console import Console

READERS = 10
"""As many connections as boto3 keeps."""
MAX_BYTES = 100_000_000
MAX_FEEDBACK_BYTES = 65_536
_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/?(?:captures/?)?")
_RECORD = Fields({"time": str, "why": str, "model": dict, "image": dict, "predictions": [Fields({"label": str})]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Request ids, oldest first, and those of them that somebody gave feedback on."""

    ids: tuple[str, ...]
    given: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One picture with its record; `given` is the label of the feedback, None if there was none."""

    request_id: str
    data: bytes
    record: Mapping[str, Any]
    given: str | None

    @property
    def predicted(self) -> str:
        """The best label."""
        return str(self.record["predictions"][0]["label"])

    @property
    def score(self) -> float:
        """Its score."""
        return float(self.record["predictions"][0]["score"])

    @property
    def version(self) -> str:
        """The model that answered."""
        return str(self.record["model"].get("version", ""))


def find_captures(text: str | None, environ: Mapping[str, str] = os.environ) -> Place:
    """Where pictures are kept: captures/ of the bucket that `text` or IMAGE_BUCKET names; UsageError otherwise."""
    bucket = environ.get("IMAGE_BUCKET", "")
    if text and not (found := _BUCKET.fullmatch(text)):
        raise UsageError(f"{text!r} keeps no pictures: give the image bucket as s3://BUCKET; they are under {PREFIX}")
    if text and found:
        bucket = found[1]
    if not bucket:
        raise UsageError("pictures are kept in the image bucket: give it as s3://BUCKET, or set IMAGE_BUCKET")
    return find_place(f"s3://{bucket}/{PREFIX}", environ)


def since(text: str) -> datetime:
    """A day as --since takes it, in UTC."""
    import argparse

    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a day such as 2026-11-29") from error


def list_kept(place: Place, after: datetime | None) -> Listed:
    """What is kept, of the time from `after` on."""
    found: list[tuple[datetime, str]] = []
    given: set[str] = set()
    with s3_trouble(f"listing {place.url}"):
        for page in place.client.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.prefix):
            for item in page.get("Contents", []):
                name = item["Key"].removeprefix(place.prefix)
                if name.endswith(SUFFIX):
                    given.add(name.removesuffix(SUFFIX))
                elif name and "/" not in name and (after is None or item["LastModified"] >= after):
                    found.append((item["LastModified"], name))
    ids = tuple(name for _, name in sorted(found))
    return Listed(ids=ids, given=frozenset(given))


def read_kept(place: Place, listed: Listed, ids: Sequence[str], console: Console) -> Iterator[Kept]:
    """Those of `ids` that can be read; the others are warned about and left out."""
    with ThreadPoolExecutor(READERS) as pool:
        for request_id, found in zip(ids, pool.map(lambda one: _read(place, listed, one), ids), strict=True):
            if isinstance(found, Kept):
                yield found
            else:
                console.warn(f"{place.prefix}{request_id} is left out: {found}")


def _read(place: Place, listed: Listed, request_id: str) -> Kept | str:
    """The picture, or why it is none."""
    from botocore.exceptions import ClientError

    key = place.prefix + request_id
    with s3_trouble(f"reading s3://{place.bucket}/{key}"):
        try:
            got = place.client.get_object(Bucket=place.bucket, Key=key)
            if got["ContentLength"] > MAX_BYTES:
                return f"it has {got['ContentLength']} bytes"
            data, text = got["Body"].read(), got["Metadata"].get(RECORD, "")
        except ClientError as error:
            return str(error)
    try:
        record: dict[str, Any] = read_object(text.encode(), "its record")
        check(record, _RECORD, "its record")
        with blamed("its record"):
            float(record["predictions"][0]["score"])
    except ModelError as error:
        return f"it has no record of ours: {error}"
    given = _feedback(place, key + SUFFIX) if request_id in listed.given else None
    return Kept(request_id=request_id, data=data, record=record, given=given)


def _feedback(place: Place, key: str) -> str | None:
    with s3_trouble(f"reading s3://{place.bucket}/{key}"):
        body = place.client.get_object(Bucket=place.bucket, Key=key)["Body"].read(MAX_FEEDBACK_BYTES)
    try:
        label = read_object(body, key).get("label")
    except ModelError:
        return None
    return label if isinstance(label, str) and label else None
