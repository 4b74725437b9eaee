"""What S3 says in a queue: which objects were created, in either form that S3 has for saying so.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CREATED = "ObjectCreated:"
BRIDGED = "Object Created"


class NoticeError(Exception):
    """The message is nothing that S3 says."""


class Located(Record):
    """One version of one object: what is created under the same key later is another picture."""

    bucket: str
    key: str
    version_id: str | None
    """None where the bucket keeps no versions."""
    etag: str

    @property
    def identity(self) -> str:
        """What tells this version of the key from others, as part of a key."""
        return self.version_id or self.etag

    def named(self) -> dict[str, str]:
        """The fields by which rows name it."""
        version = {"version_id": self.version_id} if self.version_id else {"etag": self.etag}
        return {"bucket": self.bucket, "key": self.key, **version}


def created_in(body: str) -> tuple[Located, ...]:
    """The objects of a message of S3's own notifications, or of EventBridge; NoticeError if it is neither.

    None for S3's test event, for folders that a console made, and for events other than creation.
    """
    try:
        document = json.loads(body)
        return tuple(_created(document))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoticeError(f"{type(error).__name__}: {error}") from error


def _created(document: Mapping[str, Any]) -> Iterator[Located]:
    if "Records" in document:
        for record in document["Records"]:
            if record["eventName"].startswith(CREATED):
                # S3's own notifications have keys as forms do: a plus is a space.
                found = record["s3"]["object"]
                yield from _located(record["s3"], unquote_plus(found["key"]), found.get("versionId"), found["eTag"])
    elif "detail-type" in document:
        if document["detail-type"] == BRIDGED:
            found = document["detail"]["object"]
            yield from _located(document["detail"], found["key"], found.get("version-id"), found["etag"])
    elif document.get("Event") != "s3:TestEvent":
        raise ValueError("neither a notification of S3 nor an event of EventBridge")


def _located(said: Mapping[str, Any], key: str, version_id: str | None, etag: str) -> Iterator[Located]:
    if not (key.endswith("/") and said["object"].get("size") == 0):
        version = None if version_id in (None, "", "null") else version_id
        yield Located(said["bucket"]["name"], key, version, etag.strip('"'))
