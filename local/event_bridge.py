"""EventBridge, as far as S3 tells it something: the event of a change, and the rules that ask for it.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns-content-based-filtering.html
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from local.account import ACCOUNT, REGION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.s3_changes import S3Change

REASONS = {
    "ObjectCreated:Put": "PutObject",
    "ObjectCreated:Copy": "CopyObject",
    "ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
}
DELETIONS = {
    "ObjectRemoved:Delete": "Permanently Deleted",
    "ObjectRemoved:DeleteMarkerCreated": "Delete Marker Created",
}
FILTERS = {"prefix", "suffix", "wildcard", "equals-ignore-case"}


@dataclass(frozen=True, slots=True)
class EventRule:
    """A rule's pattern: for each field, at any depth, a list of what its value may be."""

    pattern: Mapping[str, Any]

    def asks_for(self, event: Mapping[str, Any]) -> bool:
        """Whether the event has every field that the pattern names, with one of its values."""
        return _fits(self.pattern, event)


def bridge_event(change: S3Change) -> dict[str, Any]:
    """What S3 tells EventBridge of a change; unlike in its own notifications, the key is as it is."""
    details: dict[str, Any] = {"key": change.key, "sequencer": uuid.uuid4().hex[:16].upper()}
    if change.size is not None:
        details |= {"size": change.size, "etag": change.etag}
    if change.version_id:
        details["version-id"] = change.version_id
    created = change.name in REASONS
    how = {"reason": REASONS[change.name]} if created else {"reason": "DeleteObject"}
    if change.name in DELETIONS:
        how["deletion-type"] = DELETIONS[change.name]
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Object Created" if created else "Object Deleted",
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:s3:::{change.bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": change.bucket},
            "object": details,
            "request-id": "LOCAL",
            "requester": ACCOUNT,
            "source-ip-address": "127.0.0.1",
            **how,
        },
    }


def _fits(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    for field, wanted in pattern.items():
        value = event.get(field)
        if isinstance(wanted, list):
            if not any(_is(value, one) for one in wanted):
                return False
        elif not isinstance(value, dict) or not _fits(wanted, value):
            return False
    return True


def _is(value: object, wanted: object) -> bool:
    if not isinstance(wanted, dict):
        return value == wanted
    (name, text), *_ = wanted.items()
    if not isinstance(value, str) or not isinstance(text, str):
        return False
    match name:
        case "prefix":
            return value.startswith(text)
        case "suffix":
            return value.endswith(text)
        case "wildcard":
            return fnmatchcase(value, text.replace("[", "[[]").replace("?", "[?]"))
        case _:
            return name == "equals-ignore-case" and value.casefold() == text.casefold()
