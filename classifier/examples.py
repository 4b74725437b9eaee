"""Example pictures for the page: what an operator put under one prefix of the image bucket, and nothing else.

No caller names an object here: the prefix is a setting, so that nothing beside it can be asked for.
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

from classifier import logs
from classifier.pictures.headers.inspection import sniff
from classifier.s3.storage import ObjectChangedError, ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError
from classifier.web.responses import json_response

if TYPE_CHECKING:
    from classifier.s3.listing import ObjectInfo
    from classifier.s3.storage import S3
    from classifier.web.responses import Response

MOST = 12
LARGEST_BYTES = 200_000
MOST_BYTES = 650_000
"""Of all together: as base64 they fit a load balancer's reply of 1 MB, the smallest limit there is."""
LOOKED_AT = 100
KEPT_S = 300.0
KINDS = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
"""What every browser shows, and nothing that can run a script."""

type Example = dict[str, str]


class Examples:
    """The pictures under a prefix, in the order of their file names whatever their folders, kept for five minutes."""

    def __init__(self, s3: S3, bucket: str, prefix: str) -> None:
        self._s3, self._bucket, self._prefix = s3, bucket, prefix
        self._found: list[Example] = []
        self._until = 0.0

    def response(self, request_id: str, deadline: float) -> Response:
        """At most 12 pictures as base64, with name and media type; `deadline` by time.monotonic().

        StorageUnavailableError where S3 fails; what the role may not see is left out, and logged.
        """
        if time.monotonic() >= self._until:
            self._found = self._read(deadline)
            self._until = time.monotonic() + KEPT_S
        headers = {"cache-control": f"private, max-age={KEPT_S:.0f}"}
        return json_response({"examples": self._found, "request_id": request_id}, headers=headers)

    def _read(self, deadline: float) -> list[Example]:
        found: list[Example] = []
        size = 0
        for info in self._listed(deadline):
            if not 0 < info.size <= LARGEST_BYTES or size + info.size > MOST_BYTES:
                continue
            if (example := self._example(info.key, deadline)) is not None:
                found.append(example)
                size += info.size
            if len(found) == MOST:
                break
        return found

    def _listed(self, deadline: float) -> list[ObjectInfo]:
        try:
            found = self._s3.first(self._bucket, self._prefix, deadline, count=LOOKED_AT)
        except ObjectMissingError as error:
            logs.emit("warning", "the example pictures can't be listed", error=error)
            return []
        return sorted(found, key=lambda info: info.key.rpartition("/")[2])

    def _example(self, key: str, deadline: float) -> Example | None:
        try:
            data = self._s3.get(self._bucket, key, deadline, max_bytes=LARGEST_BYTES)
        except (ObjectMissingError, ObjectChangedError, ObjectTooLargeError, ObjectUnreadableError) as error:
            logs.emit("warning", "an example picture can't be read", error=error)
            return None
        kind = KINDS.get(sniff(data) or "")
        if kind is None:
            return None
        return {"name": key.removeprefix(self._prefix), "type": kind, "data": base64.b64encode(data).decode()}
