"""One request to S3 until it is answered: signed, tried again as the SDKs do, sent on to the bucket's own region."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from classifier import logs
from classifier.errors import StorageUnavailableError
from classifier.records import Record
from classifier.s3 import http
from classifier.s3.credentials import KeptCredentials
from classifier.s3.listing import complaint
from classifier.s3.refusals import ObjectTooLargeError, refusal
from classifier.s3.sigv4 import canonical_path, canonical_query, signed_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import IO

    from classifier.s3.endpoint import Endpoint
    from classifier.s3.sigv4 import Credentials

    type Way = Callable[[http.Pool, http.Call], http.Reply | http.Opened]
    """How one request is exchanged: read whole, or only begun."""

ATTEMPTS = 3
PARTIAL = 206
BACKOFF_S = 0.1
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
RETRIED_CODES = frozenset({"RequestTimeout"})
"""What passes although its status is 400: the body came too slowly over a kept connection."""
EXPIRED_CODES = frozenset({"ExpiredToken", "TokenRefreshRequired"})
WRONG_REGION = frozenset({301, 307, 400})
MOVED_CODES = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
"""Answers of a region that hasn't the bucket, of which some don't say which one has: a HEAD of the bucket does."""


class Request(Record, kw_only=True):
    """What is asked of an object, or of a bucket when `key` is empty; at most `max_bytes` of the answer are read."""

    method: str
    bucket: str
    max_bytes: int
    key: str = ""
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    payload: bytes = b""
    into: IO[bytes] | None = None
    """A file for the body of a success, instead of the reply."""

    def __str__(self) -> str:
        # A signed link is easily given as a key; its query is a credential.
        shown = (self.key or self.query.get("prefix", "")).partition("?")[0]
        return f"{self.method} s3://{self.bucket}/{shown}"


class Exchange:
    """Requests to one endpoint."""

    def __init__(self, endpoint: Endpoint, credentials: Callable[[], Credentials]) -> None:
        self._endpoint = endpoint
        self._credentials = credentials

    def send(self, request: Request, deadline: float) -> http.Reply:
        """The answer, if its status is below 300; else an error of `refusals`, or StorageUnavailableError."""
        reply = self._answered(request, deadline, http.Pool.send)
        assert isinstance(reply, http.Reply)
        return reply

    def open(self, request: Request, deadline: float) -> http.Opened:
        """The answer to a request for a range, its body still to be read; errors as `send` has them."""
        opened = self._answered(request, deadline, _begin)
        assert isinstance(opened, http.Opened)
        return opened

    def _answered(self, request: Request, deadline: float, way: Way) -> http.Reply | http.Opened:
        trouble = "no attempt"
        for attempt in range(ATTEMPTS):
            if attempt and not _pause(attempt, deadline):
                break
            try:
                used = self._credentials()
                reply = self._once(request, used, deadline, way)
                if isinstance(reply, http.Opened) or reply.status < 300:
                    return reply
                trouble = f"{reply.status} {complaint(reply.body)}"
                if not self._may_pass(request, reply, used, deadline):
                    raise refusal(str(request), reply)
            except http.TooLargeError as error:
                raise ObjectTooLargeError(f"{request}: {error}") from error
            except (OSError, http.BrokenReplyError) as error:
                trouble = f"{type(error).__name__}: {error}"
        raise StorageUnavailableError(f"{request}: {trouble}")

    def _once(self, request: Request, credentials: Credentials, deadline: float, way: Way) -> http.Reply | http.Opened:
        host, path = self._endpoint.address(request.bucket, request.key)
        path, text = canonical_path(path), canonical_query(request.query)
        region = self._endpoint.region_of(request.bucket)
        headers = {"host": host, **request.headers}
        signed = signed_headers(request.method, path, text, headers, request.payload, credentials, region)
        call = http.Call(
            method=request.method,
            target=f"{path}?{text}" if text else path,
            headers=signed,
            payload=request.payload,
            deadline=deadline,
            max_bytes=request.max_bytes,
            into=request.into,
        )
        return way(self._endpoint.pool(host), call)

    def _may_pass(self, request: Request, reply: http.Reply, used: Credentials, deadline: float) -> bool:
        """Whether the same request, once more, may have another answer."""
        said = complaint(reply.body)
        if reply.status in RETRIED or said.code in RETRIED_CODES:
            return True
        if said.code in EXPIRED_CODES:
            return isinstance(self._credentials, KeptCredentials) and self._credentials.renew(used)
        return reply.status in WRONG_REGION and self._learns_region(request.bucket, reply, used, deadline)

    def _learns_region(self, bucket: str, reply: http.Reply, used: Credentials, deadline: float) -> bool:
        """Whether the bucket is in a region that was not tried yet; the address itself is never the reply's to say."""
        said, before = complaint(reply.body), self._endpoint.region_of(bucket)
        region = reply.headers.get("x-amz-bucket-region") or said.region
        if not region and said.code in MOVED_CODES:
            asked = Request(method="HEAD", bucket=bucket, max_bytes=0)
            head = self._once(asked, used, deadline, http.Pool.send)
            assert isinstance(head, http.Reply)
            region = head.headers.get("x-amz-bucket-region", "")
        if not self._endpoint.learn(bucket, region):
            return False
        note = "S3's events stay in the bucket's region: no rule elsewhere sees them (docs/operate/deploy.md)"
        logs.emit(
            "warning",
            "bucket in another region",
            fields={"bucket": bucket, "region": region, "asked": before, "note": note},
        )
        return True


def _begin(pool: http.Pool, call: http.Call) -> http.Reply | http.Opened:
    opened = pool.open(call)
    if opened.status == PARTIAL:
        return opened
    try:
        return opened.reply()
    finally:
        opened.close()


def _pause(attempt: int, deadline: float) -> bool:
    """Wait before the next attempt (full jitter); False when the deadline leaves no time for one."""
    from random import uniform  # a millisecond of a start-up at which nothing fails

    pause = uniform(0, BACKOFF_S * 4**attempt)  # noqa: S311 - spreads load, guards nothing
    if time.monotonic() + pause >= deadline:
        return False
    time.sleep(pause)
    return True
