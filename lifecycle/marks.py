"""What `verify` found out about a version, kept beside its objects (`versions/<fingerprint>/verified.json`).

Not in published.json: writing that again would also end any swap by hand that counts now.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from classifier.documents import Fields, check, read_object
from classifier.errors import ModelTooLargeError
from lifecycle.place import NOT_THERE, Place, error_code, s3_trouble
from lifecycle.release import VERSIONS, put

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "verified.json"
MAX_BYTES = 1_000_000
_MARK = Fields({"passed": bool, "problems": [str], "checked": str})


def read_mark(place: Place, version: str) -> dict[str, Any] | None:
    """The newest mark, ModelError if it is none; None if the version was never verified after it was published."""
    key = _key(place, version)
    found = read_beside(place, key, MAX_BYTES)
    if found is None:
        return None
    document = {"problems": [], "checked": "", **found}
    check(document, _MARK, key)
    return document


def read_beside(place: Place, key: str, max_bytes: int) -> dict[str, Any] | None:
    """The JSON object that is kept beside a version's objects; None if there is none, ModelError if it isn't one."""
    from botocore.exceptions import ClientError

    with s3_trouble(f"reading s3://{place.bucket}/{key}"):
        try:
            body = place.client.get_object(Bucket=place.bucket, Key=key)["Body"].read(max_bytes + 1)
        except ClientError as error:
            if error_code(error) in NOT_THERE:
                return None
            raise
    if len(body) > max_bytes:
        raise ModelTooLargeError(f"{key} has more than {max_bytes} bytes")
    return read_object(body, key)


def write_mark(place: Place, version: str, document: Mapping[str, Any]) -> None:
    """Keep what was found; `GET /model` tells its accuracy, and nothing else that serves reads it."""
    put(place, _key(place, version), json.dumps(document, indent=1).encode(), "application/json")


def _key(place: Place, version: str) -> str:
    return f"{place.prefix}{VERSIONS}{version}/{NAME}"
