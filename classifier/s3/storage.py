"""S3 as this service uses it: list, read and write whole objects, each under one deadline.

A small client on http.client: importing boto3 and making its client takes longer than everything else that the first
reply needs, and boto3 has no total deadline. Errors are this module's own; callers give them a status.
"""

from __future__ import annotations

import random
import re
import time
from contextlib import contextmanager
from copy import replace
from typing import TYPE_CHECKING

from classifier.errors import StorageUnavailableError
from classifier.s3 import http as s3_http
from classifier.s3.listing import Listing, ObjectInfo, error_code, parse_page
from classifier.s3.sigv4 import Credentials, canonical_path, canonical_query, signed_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    type Exchange = Callable[[s3_http.Pool, s3_http.Call], s3_http.Reply | s3_http.Opened]

ATTEMPTS = 3
BACKOFF_S = 0.1
MAX_LIST_BYTES = 8_000_000
MAX_PAGES = 20
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
PARTIAL, OUT_OF_RANGE = 206, 416
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

    @contextmanager
    def stream(self, bucket: str, key: str, deadline: float, *, start: int, size: int) -> Iterator[Stream]:
        """`size` bytes of an object from byte `start` on, read while they arrive.

        ObjectChangedError when the object does not have them; StorageUnavailableError, also while reading.
        """
        wanted = {"range": f"bytes={start}-{start + size - 1}"}
        opened = self._ask("GET", bucket, key, {}, wanted, deadline, exchange=_begin)
        assert isinstance(opened, s3_http.Opened)
        what = f"GET s3://{bucket}/{key}"
        try:
            yield Stream(what, opened)
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
    ) -> s3_http.Reply:
        """One exchange, the body read whole."""
        reply = self._ask(
            method, bucket, key, query, headers, deadline, payload=payload, max_bytes=max_bytes, exchange=_whole
        )
        assert isinstance(reply, s3_http.Reply)
        return reply

    def _ask(
        self,
        method: str,
        bucket: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        deadline: float,
        *,
        exchange: Exchange,
        payload: bytes = b"",
        max_bytes: int = MAX_LIST_BYTES,
    ) -> s3_http.Reply | s3_http.Opened:
        # A signed link is easily given as a key; its query is a credential.
        what = f"{method} s3://{bucket}/{(key or query.get('prefix', '')).partition('?')[0]}"
        trouble = "no attempt"
        for attempt in range(ATTEMPTS):
            if attempt and not _pause(attempt, deadline):
                break
            try:
                call, pool = self._call(method, bucket, key, query, headers, deadline, payload, max_bytes)
                reply = exchange(pool, call)
            except s3_http.TooLargeError as error:
                raise ObjectTooLargeError(f"{what}: {error}") from error
            except (OSError, s3_http.HTTPException) as error:
                trouble = f"{type(error).__name__}: {error}"
                continue
            if isinstance(reply, s3_http.Opened) or reply.status < 300:
                return reply
            trouble = f"{reply.status} {error_code(reply.body)}"
            if reply.status not in RETRIED and not self._learns_region(bucket, reply):
                raise _refusal(what, reply)
        raise StorageUnavailableError(f"{what}: {trouble}")

    def _call(
        self,
        method: str,
        bucket: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        deadline: float,
        payload: bytes,
        max_bytes: int,
    ) -> tuple[s3_http.Call, s3_http.Pool]:
        host, path = self._endpoint.address(bucket, key)
        path, text = canonical_path(path), canonical_query(query)
        region = self._endpoint.region_of(bucket)
        signed = signed_headers(method, path, text, {"host": host, **headers}, payload, self._credentials(), region)
        target = f"{path}?{text}" if text else path
        call = s3_http.Call(
            method=method, target=target, headers=signed, payload=payload, deadline=deadline, max_bytes=max_bytes
        )
        return call, self._endpoint.pool(host)

    def _learns_region(self, bucket: str, reply: s3_http.Reply) -> bool:
        """Whether the bucket is in a region that was not tried yet; the address itself is never the reply's to say."""
        region = reply.headers.get("x-amz-bucket-region", "")
        known = self._endpoint.region_of(bucket)
        if reply.status not in WRONG_REGION or region == known or not _REGION.fullmatch(region):
            return False
        self._endpoint.elsewhere[bucket] = region
        return True


class Stream:
    """Part of an object, while it arrives."""

    def __init__(self, what: str, opened: s3_http.Opened) -> None:
        self._what, self._opened = what, opened

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, empty at the end. Raises StorageUnavailableError when the connection breaks."""
        try:
            return self._opened.read(size)
        except (OSError, s3_http.HTTPException) as error:
            raise StorageUnavailableError(f"{self._what}: {type(error).__name__}: {error}") from error


def _whole(pool: s3_http.Pool, call: s3_http.Call) -> s3_http.Reply | s3_http.Opened:
    return pool.send(call)


def _begin(pool: s3_http.Pool, call: s3_http.Call) -> s3_http.Reply | s3_http.Opened:
    opened = pool.open(call)
    if opened.status == PARTIAL:
        return opened
    try:
        return opened.reply()
    finally:
        opened.close()


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
    if reply.status in (409, 412, OUT_OF_RANGE):
        return ObjectChangedError(text)
    if reply.status == 404 and code != "NoSuchBucket":
        return ObjectMissingError(text)
    if reply.status == 403 and code in DENIED_CODES:  # other codes mean our credentials or our clock
        return ObjectMissingError(text)
    if reply.status == 405 and reply.headers.get("x-amz-delete-marker") == "true":
        return ObjectMissingError(text)
    return StorageUnavailableError(text)
