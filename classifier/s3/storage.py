"""S3 as this service uses it: list, read and write whole objects, each under one deadline.

A small client on http.client: importing boto3 and making its client takes longer than everything else that the first
reply needs, and boto3 has no total deadline. Errors are this module's own; callers give them a status.
"""

from __future__ import annotations

import random
import re
import time
from copy import replace
from typing import TYPE_CHECKING

from classifier.errors import StorageUnavailableError
from classifier.s3 import http as s3_http
from classifier.s3.listing import Listing, ObjectInfo, error_code, parse_page
from classifier.s3.sigv4 import Credentials, canonical_path, canonical_query, signed_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import IO

ATTEMPTS = 3
BACKOFF_S = 0.1
MAX_LIST_BYTES = 8_000_000
MAX_PAGES = 20
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
WRONG_REGION = frozenset({301, 307, 400})
UNREADABLE_CODES = ("InvalidObjectState", "KMS")
DENIED_CODES = ("AccessDenied", "AllAccessDisabled", "no code")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")
_DENIED_ACTION = re.compile(rb"not authorized to perform:? (\S+)")


class ObjectMissingError(Exception):
    """No such object or version, or one that the role may not see."""


class ObjectChangedError(Exception):
    """The object is no longer the one whose ETag was asked for, or exists although it should not."""


class ObjectUnreadableError(Exception):
    """The object is there but archived, or its KMS key is denied."""


class ObjectTooLargeError(Exception):
    """The object has more bytes than the caller allows."""


class S3:
    """Objects of any bucket at one endpoint."""

    def __init__(self, endpoint: s3_http.Endpoint, credentials: Callable[[], Credentials]) -> None:
        self._endpoint = endpoint
        self._credentials = credentials

    def list(self, bucket: str, prefix: str, deadline: float, *, delimiter: str = "") -> Listing:
        """Every object under `prefix`; with a delimiter only those right under it. `deadline` by time.monotonic()."""
        query = {"list-type": "2", "prefix": prefix, "encoding-type": "url"} | (
            {"delimiter": delimiter} if delimiter else {}
        )
        return self._pages(bucket, query, {"continuation-token": "NextContinuationToken"}, deadline)

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
        query = {"versionId": version_id} if version_id else {}
        headers = {"if-match": f'"{if_match}"'} if if_match else {}
        return self._send("GET", bucket, key, query, headers, deadline, max_bytes=max_bytes).body

    def download(self, bucket: str, key: str, deadline: float, *, max_bytes: int, into: IO[bytes]) -> None:
        """One whole object into a file, which then holds nothing else; at most `max_bytes`. Errors as of `get`."""
        self._send("GET", bucket, key, {}, {}, deadline, max_bytes=max_bytes, into=into)

    def put(
        self,
        bucket: str,
        key: str,
        data: bytes,
        deadline: float,
        *,
        content_type: str,
        condition: Mapping[str, str] | None = None,
    ) -> str:
        """Write one object and return its ETag; `condition` is if-match or if-none-match (ObjectChangedError)."""
        headers = {"content-type": content_type, **(condition or {})}
        return self._send("PUT", bucket, key, {}, headers, deadline, payload=data).headers.get("etag", "").strip('"')

    def _pages(self, bucket: str, query: dict[str, str], markers: Mapping[str, str], deadline: float) -> Listing:
        objects: list[ObjectInfo] = []
        server_time = 0.0
        for _ in range(MAX_PAGES):
            reply = self._send("GET", bucket, "", query, {}, deadline, max_bytes=MAX_LIST_BYTES)
            page = parse_page(reply, markers)
            server_time = server_time or page.server_time
            objects += page.objects
            if not page.following:
                return Listing(tuple(objects), server_time)
            query = query | page.following
        raise StorageUnavailableError(f"s3://{bucket}/{query['prefix']} has more than {MAX_PAGES} pages of objects")

    def _send(
        self,
        method: str,
        bucket: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        deadline: float,
        *,
        payload: bytes = b"",
        max_bytes: int = MAX_LIST_BYTES,
        into: IO[bytes] | None = None,
    ) -> s3_http.Reply:
        # A signed link is easily given as a key; its query is a credential.
        what = f"{method} s3://{bucket}/{(key or query.get('prefix', '')).partition('?')[0]}"
        trouble = "no attempt"
        for attempt in range(ATTEMPTS):
            if attempt and not _pause(attempt, deadline):
                break
            try:
                reply = self._once(method, bucket, key, query, headers, deadline, payload, max_bytes, into)
            except s3_http.TooLargeError as error:
                raise ObjectTooLargeError(f"{what}: {error}") from error
            except (OSError, s3_http.HTTPException) as error:
                trouble = f"{type(error).__name__}: {error}"
                continue
            if reply.status < 300:
                return reply
            trouble = f"{reply.status} {error_code(reply.body)}"
            if reply.status not in RETRIED and not self._learns_region(bucket, reply):
                raise _refusal(what, reply)
        raise StorageUnavailableError(f"{what}: {trouble}")

    def _once(
        self,
        method: str,
        bucket: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        deadline: float,
        payload: bytes,
        max_bytes: int,
        into: IO[bytes] | None,
    ) -> s3_http.Reply:
        host, path = self._endpoint.address(bucket, key)
        path, text = canonical_path(path), canonical_query(query)
        region = self._endpoint.region_of(bucket)
        signed = signed_headers(method, path, text, {"host": host, **headers}, payload, self._credentials(), region)
        target = f"{path}?{text}" if text else path
        call = s3_http.Call(
            method=method,
            target=target,
            headers=signed,
            payload=payload,
            deadline=deadline,
            max_bytes=max_bytes,
            into=into,
        )
        return self._endpoint.pool(host).send(call)

    def _learns_region(self, bucket: str, reply: s3_http.Reply) -> bool:
        """Whether the bucket is in a region that was not tried yet; the address itself is never the reply's to say."""
        region = reply.headers.get("x-amz-bucket-region", "")
        known = self._endpoint.region_of(bucket)
        if reply.status not in WRONG_REGION or region == known or not _REGION.fullmatch(region):
            return False
        self._endpoint.elsewhere[bucket] = region
        return True


def _pause(attempt: int, deadline: float) -> bool:
    """Wait before the next attempt (full jitter); False when the deadline leaves no time for one."""
    pause = random.uniform(0, BACKOFF_S * 4**attempt)  # noqa: S311 - spreads load, guards nothing
    if time.monotonic() + pause >= deadline:
        return False
    time.sleep(pause)
    return True


def _refusal(what: str, reply: s3_http.Reply) -> Exception:
    code = error_code(reply.body)
    text = f"{what}: {reply.status} {code}"
    denied = _DENIED_ACTION.search(reply.body)
    if code.startswith(UNREADABLE_CODES) or (reply.status == 403 and denied and denied[1].startswith(b"kms:")):
        return ObjectUnreadableError(text)
    if reply.status in (409, 412):
        return ObjectChangedError(text)
    if reply.status == 404 and code != "NoSuchBucket":
        return ObjectMissingError(text)
    if reply.status == 403 and code in DENIED_CODES:  # other codes mean our credentials or our clock
        return ObjectMissingError(text)
    if reply.status == 405 and reply.headers.get("x-amz-delete-marker") == "true":
        return ObjectMissingError(text)
    return StorageUnavailableError(text)
