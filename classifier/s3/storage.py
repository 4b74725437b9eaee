"""S3 as this service uses it: list, read and write whole objects, each under one deadline.

A small client of our own: importing boto3 and making its client takes longer than everything else that the first
reply needs, and boto3 has no total deadline. Errors are this module's own; callers give them a status.
"""

from __future__ import annotations

import base64
import zlib
from contextlib import contextmanager
from copy import replace
from typing import TYPE_CHECKING

from classifier.errors import StorageUnavailableError
from classifier.s3.exchange import Exchange, Request
from classifier.s3.http import BrokenReplyError
from classifier.s3.listing import Listing, ObjectInfo, parse_page
from classifier.s3.refusals import ObjectChangedError, ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import IO

    from classifier.s3 import http
    from classifier.s3.endpoint import Endpoint
    from classifier.s3.sigv4 import Credentials

__all__ = ["S3", "ObjectChangedError", "ObjectMissingError", "ObjectTooLargeError", "ObjectUnreadableError"]

MAX_LIST_BYTES = 8_000_000
MAX_PAGES = 20


class S3:
    """Objects of any bucket at one endpoint."""

    def __init__(self, endpoint: Endpoint, credentials: Callable[[], Credentials], encryption: str = "") -> None:
        self._exchange = Exchange(endpoint, credentials)
        self._encryption = encryption_headers(encryption)

    def list(self, bucket: str, prefix: str, deadline: float, *, delimiter: str = "") -> Listing:
        """Every object under `prefix`; with a delimiter only those right under it. `deadline` by time.monotonic()."""
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"} | (
            {"delimiter": delimiter} if delimiter else {}
        )
        return self._pages(bucket, query, {"continuation-token": "NextContinuationToken"}, deadline)

    def first(self, bucket: str, prefix: str, deadline: float, *, count: int) -> tuple[ObjectInfo, ...]:
        """The first `count` objects under `prefix` (1,000 at most) in the order of their keys, by one request."""
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url", "max-keys": str(count)}
        request = Request(method="GET", bucket=bucket, query=query, max_bytes=MAX_LIST_BYTES)
        return parse_page(self._exchange.send(request, deadline), {}).objects

    def list_versions(self, bucket: str, prefix: str, deadline: float) -> Listing:
        """Every version and delete marker right under `prefix`, newest first for each key."""
        query = {"versions": "", "prefix": prefix, "encoding-type": "url", "delimiter": "/"}
        markers = {"key-marker": "NextKeyMarker", "version-id-marker": "NextVersionIdMarker"}
        listing = self._pages(bucket, query, markers, deadline)
        # S3 lists them so, moto delete markers last. Stable: within a second S3's own order counts.
        newest_first = sorted(listing.objects, key=lambda info: (info.key, -info.modified))
        return replace(listing, objects=tuple(newest_first))

    def get(
        self,
        bucket: str,
        key: str,
        deadline: float,
        *,
        max_bytes: int,
        version_id: str | None = None,
        if_match: str | None = None,
    ) -> bytes:
        """One whole object: of that version, or only if its ETag still is `if_match`; at most `max_bytes`."""
        request = _get(bucket, key, version_id, if_match, max_bytes)
        return self._exchange.send(request, deadline).body

    def get_tagged(self, bucket: str, key: str, deadline: float, *, max_bytes: int) -> tuple[bytes, str]:
        """One whole object, and its ETag."""
        reply = self._exchange.send(Request(method="GET", bucket=bucket, key=key, max_bytes=max_bytes), deadline)
        return reply.body, reply.headers.get("etag", "").strip('"')

    def tag(self, bucket: str, key: str, deadline: float) -> str:
        """The object's ETag, without the object."""
        return self.head(bucket, key, deadline).get("etag", "").strip('"')

    def head(self, bucket: str, key: str, deadline: float) -> Mapping[str, str]:
        """What S3 says of the object in headers (names in lower case), its metadata among them."""
        return self._exchange.send(Request(method="HEAD", bucket=bucket, key=key, max_bytes=0), deadline).headers

    def download(
        self,
        bucket: str,
        key: str,
        deadline: float,
        *,
        max_bytes: int,
        into: IO[bytes],
        version_id: str | None = None,
        if_match: str | None = None,
    ) -> None:
        """One whole object into a file, which then holds nothing else; the rest as of `get`."""
        self._exchange.send(replace(_get(bucket, key, version_id, if_match, max_bytes), into=into), deadline)

    @contextmanager
    def stream(self, bucket: str, key: str, deadline: float, *, start: int, size: int) -> Iterator[Stream]:
        """`size` bytes of an object from byte `start` on, read while they arrive.

        ObjectChangedError when the object does not have them; StorageUnavailableError, also while reading.
        """
        wanted = {"range": f"bytes={start}-{start + size - 1}"}
        request = Request(method="GET", bucket=bucket, key=key, headers=wanted, max_bytes=size)
        opened = self._exchange.open(request, deadline)
        try:
            yield Stream(str(request), opened)
        finally:
            opened.close()

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        deadline: float,
        *,
        content_type: str,
        condition: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """Write one object and return its ETag; `condition` is if-match or if-none-match (ObjectChangedError).

        `metadata` is S3's user metadata: ASCII, 2 KB in all.
        """
        checksum = base64.b64encode(zlib.crc32(data).to_bytes(4)).decode()
        headers = {
            "content-type": content_type,
            "x-amz-checksum-crc32": checksum,  # S3 refuses a PUT without one into a bucket with Object Lock
            "x-amz-sdk-checksum-algorithm": "CRC32",
            **self._encryption,
            **(condition or {}),
            **{f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()},
        }
        request = Request(method="PUT", bucket=bucket, key=key, headers=headers, payload=data, max_bytes=MAX_LIST_BYTES)
        return self._exchange.send(request, deadline).headers.get("etag", "").strip('"')

    def _pages(self, bucket: str, query: dict[str, str], markers: Mapping[str, str], deadline: float) -> Listing:
        objects: list[ObjectInfo] = []
        server_time = 0.0
        for _ in range(MAX_PAGES):
            request = Request(method="GET", bucket=bucket, query=query, max_bytes=MAX_LIST_BYTES)
            reply: http.Reply = self._exchange.send(request, deadline)
            page = parse_page(reply, markers)
            server_time = server_time or page.server_time
            objects += page.objects
            if not page.following:
                return Listing(tuple(objects), server_time)
            query = query | page.following
        raise StorageUnavailableError(f"s3://{bucket}/{query['prefix']} has more than {MAX_PAGES} pages of objects")


def encryption_headers(asked: str) -> dict[str, str]:
    """The headers of a PUT that ask for server-side encryption as the setting S3_ENCRYPTION says.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/specifying-kms-encryption.html
    """
    if not asked:
        return {}
    if not asked.startswith("arn:"):
        return {"x-amz-server-side-encryption": asked}
    return {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": asked}


class Stream:
    """Part of an object, while it arrives."""

    def __init__(self, what: str, opened: http.Opened) -> None:
        self._what, self._opened = what, opened

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, empty at the end. Raises StorageUnavailableError when the connection breaks."""
        try:
            return self._opened.read(size)
        except (OSError, BrokenReplyError) as error:
            raise StorageUnavailableError(f"{self._what}: {type(error).__name__}: {error}") from error


def _get(bucket: str, key: str, version_id: str | None, if_match: str | None, max_bytes: int) -> Request:
    """The request for just that version, or that content, where one is named."""
    query = {"versionId": version_id} if version_id else {}
    headers = {"if-match": f'"{if_match}"'} if if_match else {}
    return Request(method="GET", bucket=bucket, key=key, query=query, headers=headers, max_bytes=max_bytes)
