"""What S3's refusals mean to us, by status and code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from classifier.errors import StorageUnavailableError
from classifier.s3.listing import complaint

if TYPE_CHECKING:
    from classifier.s3.http import Reply

UNREADABLE_CODES = ("InvalidObjectState", "KMS")
DENIED_CODES = ("AccessDenied", "AllAccessDisabled", "no code")
_DENIED_ACTION = re.compile(r"not authorized to perform:? (\S+)")


class ObjectMissingError(Exception):
    """No such object or version, or one that the role may not see."""


class ObjectChangedError(Exception):
    """The object is no longer the one whose ETag was asked for, or exists although it should not."""


class ObjectUnreadableError(Exception):
    """The object is there but archived, or its KMS key is denied."""


class ObjectTooLargeError(Exception):
    """The object has more bytes than the caller allows."""


def refusal(what: str, reply: Reply) -> Exception:
    """The error that `reply` is; its text, for the log, has S3's own words."""
    said = complaint(reply.body)
    text = f"{what}: {reply.status} {said}"
    denied = _DENIED_ACTION.search(said.message)
    if said.code.startswith(UNREADABLE_CODES) or (reply.status == 403 and denied and denied[1].startswith("kms:")):
        return ObjectUnreadableError(text)
    if reply.status in (409, 412, 416):
        return ObjectChangedError(text)
    if reply.status == 404 and said.code != "NoSuchBucket":
        return ObjectMissingError(text)
    if reply.status == 403 and said.code in DENIED_CODES:  # other codes mean our credentials or our clock
        return ObjectMissingError(text)
    if reply.status == 405 and reply.headers.get("x-amz-delete-marker") == "true":
        return ObjectMissingError(text)
    return StorageUnavailableError(text)
