"""Which objects an S3 request created or removed, and the event that S3 tells a function so with.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote_plus, unquote
from xml.etree import ElementTree

from local.account import REGION

if TYPE_CHECKING:
    from collections.abc import Mapping

_sequence = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Trigger:
    """S3 events that start a function: `event` is as in a notification, `s3:ObjectCreated:*` for one."""

    bucket: str
    event: str = "s3:ObjectCreated:*"
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class S3Change:
    """One object that came or went; `name` is as in `ObjectCreated:Put`."""

    name: str
    bucket: str
    key: str
    version_id: str = ""
    etag: str = ""
    size: int | None = None

    def matches(self, trigger: S3Trigger) -> bool:
        """Whether the trigger asks for it."""
        return (
            trigger.bucket == self.bucket
            and fnmatchcase(f"s3:{self.name}", trigger.event)
            and self.key.startswith(trigger.prefix)
            and self.key.endswith(trigger.suffix)
        )

    def event(self) -> dict[str, Any]:
        """Return S3's event: the key is encoded as in a form, a plus for a space."""
        details: dict[str, Any] = {"key": quote_plus(self.key, safe="/"), "sequencer": f"{next(_sequence):016X}"}
        if self.size is not None:
            details |= {"size": self.size, "eTag": self.etag}
        if self.version_id:
            details["versionId"] = self.version_id
        record = {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": REGION,
            "eventTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "eventName": self.name,
            "userIdentity": {"principalId": "AWS:LOCAL"},
            "requestParameters": {"sourceIPAddress": "127.0.0.1"},
            "responseElements": {"x-amz-request-id": "LOCAL", "x-amz-id-2": "LOCAL"},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "local",
                "bucket": {
                    "name": self.bucket,
                    "ownerIdentity": {"principalId": "LOCAL"},
                    "arn": f"arn:aws:s3:::{self.bucket}",
                },
                "object": details,
            },
        }
        return {"Records": [record]}


_SUBRESOURCES = {"acl", "tagging", "retention", "legal-hold", "torrent", "restore", "select", "attributes", "uploads"}


def changes_of(
    method: str, path: str, query: str, sent: Mapping[str, str], got: Mapping[str, str], body: bytes
) -> list[S3Change]:
    """Return what a successful request changed; `path` is percent-encoded, headers are by lower-case name."""
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    asked = parse_qs(query, keep_blank_values=True)
    if method == "POST" and "delete" in asked:
        answer = ElementTree.fromstring(body)  # noqa: S314 - moto wrote it
        return [_deleted(bucket, element) for element in answer.iter() if _tag(element) == "Deleted"]
    if not key or _SUBRESOURCES & set(asked):
        return []
    version = got.get("x-amz-version-id", "")
    if method == "PUT" and "uploadId" not in asked:
        return [S3Change(f"ObjectCreated:{'Copy' if 'x-amz-copy-source' in sent else 'Put'}", bucket, key, version)]
    if method == "POST" and "uploadId" in asked:
        return [S3Change("ObjectCreated:CompleteMultipartUpload", bucket, key, version)]
    if method == "DELETE" and "uploadId" not in asked:
        marker = got.get("x-amz-delete-marker") == "true" and "versionId" not in asked
        return [S3Change(f"ObjectRemoved:{'DeleteMarkerCreated' if marker else 'Delete'}", bucket, key, version)]
    return []


def _deleted(bucket: str, element: ElementTree.Element) -> S3Change:
    found = {_tag(child): child.text or "" for child in element}
    marker = found.get("DeleteMarker") == "true" and not found.get("VersionId")
    name = "ObjectRemoved:DeleteMarkerCreated" if marker else "ObjectRemoved:Delete"
    return S3Change(name, bucket, found["Key"], found.get("VersionId") or found.get("DeleteMarkerVersionId", ""))


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
