"""An S3 of several regions that refuses what AWS documents that S3 refuses, and says so in S3's words.

It is an HTTP proxy as well as a server, so that botocore, the reference, and our client reach it under S3's own names.
Sources: "Error responses" of the API reference; "Request routing", "Locking objects with Object Lock" and "Specifying
server-side encryption" of the user guide.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from classifier.s3.endpoint import Endpoint
from classifier.s3.http import Pool
from tests.support.answering import Answering

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.web import RequestHandler

HOST = re.compile(r"(?:(?P<bucket>.+?)\.)??s3(?:-fips)?(?:\.dualstack)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/s3/aws4_request")
SLOW = "Your socket connection to the server was not read from or written to within the timeout period."
LOCKED = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"
DENIED = (
    "User: arn:aws:sts::123456789012:assumed-role/role/function is not authorized to perform: s3:PutObject "
    'on resource: "arn:aws:s3:::{}/{}" with an explicit deny in a resource-based policy'
)
DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "content-md5": lambda data: hashlib.md5(data, usedforsecurity=False).digest(),
    "x-amz-checksum-crc32": lambda data: zlib.crc32(data).to_bytes(4),
    "x-amz-checksum-sha256": lambda data: hashlib.sha256(data).digest(),
}


@dataclass
class Bucket:
    """`told` says whether the wrong region names the right one in a header; a HEAD of the bucket always does."""

    region: str
    object_lock: bool = False
    encryption: dict[str, str] = field(default_factory=dict)
    opt_in_region: bool = False
    fresh: bool = False
    told: bool = True
    objects: dict[str, bytes] = field(default_factory=dict)


class Refusal(Exception):  # noqa: N818 - S3's answer, not a failure of ours
    def __init__(self, status: int, code: str, message: str = "", *, region: str = "", **elements: str) -> None:
        self.status, self.headers = status, {"x-amz-bucket-region": region} if region else {}
        more = "".join(f"<{name}>{text}</{name}>" for name, text in {"Message": message, **elements}.items())
        self.body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>{more}</Error>'.encode()


class DocumentedS3(Answering):
    """`buckets` by name; the next `slow` requests get RequestTimeout, tokens in `expired` ExpiredToken."""

    def __init__(self, **buckets: Bucket) -> None:
        super().__init__()
        self.buckets = buckets
        self.expired: set[str] = set()
        self.slow = 0
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def answer(self, asked: RequestHandler) -> None:
        """One request, under the host that it was sent to."""
        data = asked.read_body(1 << 20)
        headers = {name.lower(): value for name, value in asked.headers.items()}
        url = urlsplit(asked.path if asked.path.startswith("http") else f"http://{headers['host']}{asked.path}")
        self.requests.append((asked.command, url.hostname or "", headers))
        try:
            status, more, body = 200, *self._served(asked.command, url.hostname or "", unquote(url.path), headers, data)
        except Refusal as refused:
            status, more, body = refused.status, refused.headers, refused.body
        asked.send(status, list(more.items()), b"" if asked.command == "HEAD" else body)

    def _served(
        self, method: str, host: str, path: str, headers: dict[str, str], data: bytes
    ) -> tuple[dict[str, str], bytes]:
        found, scope = HOST.fullmatch(host), SCOPE.search(headers.get("authorization", ""))
        if not found or not scope:
            raise Refusal(403, "AccessDenied", f"{host} is not S3, or nothing was signed")
        name, _, key = path[1:].partition("/") if not found["bucket"] else (found["bucket"], "", path[1:])
        bucket = self.buckets.get(name)
        if bucket is None:
            raise Refusal(404, "NoSuchBucket", "The specified bucket does not exist")
        self._expect_region(method, name, bucket, found["region"], scope["region"])
        if headers.get("x-amz-security-token") in self.expired:
            raise Refusal(400, "ExpiredToken", "The provided token has expired.")
        if self.slow > 0:
            self.slow -= 1
            raise Refusal(400, "RequestTimeout", SLOW)
        if method == "PUT":
            self._expect_put(name, key, bucket, headers, data)
            bucket.objects[key] = data
            return {"etag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'}, b""
        if key and key not in bucket.objects:
            raise Refusal(404, "NoSuchKey", "The specified key does not exist.")
        return {"x-amz-bucket-region": bucket.region}, bucket.objects.get(key, b"")

    def _expect_region(self, method: str, name: str, bucket: Bucket, host: str, scope: str) -> None:
        told = bucket.region if method == "HEAD" or bucket.told else ""
        right = f"{name}.s3.{bucket.region}.amazonaws.com"
        if host != bucket.region and bucket.opt_in_region:
            text = f"The {bucket.region} location constraint is incompatible for the region specific endpoint."
            raise Refusal(400, "IllegalLocationConstraintException", text, region=told)
        if host != bucket.region and bucket.fresh:
            text = "Please re-send this request to the specified temporary endpoint."
            raise Refusal(307, "TemporaryRedirect", text, region=told, Endpoint=right)
        if host != bucket.region:
            text = "The bucket you are attempting to access must be addressed using the specified endpoint."
            raise Refusal(301, "PermanentRedirect", text, region=told, Endpoint=right)
        if scope != bucket.region:
            text = f"The authorization header is malformed; the region '{scope}' is wrong; expecting '{bucket.region}'"
            raise Refusal(400, "AuthorizationHeaderMalformed", text, region=told, Region=bucket.region)

    @staticmethod
    def _expect_put(name: str, key: str, bucket: Bucket, headers: dict[str, str], data: bytes) -> None:
        digests = {header: digest for header, digest in DIGESTS.items() if header in headers}
        if bucket.object_lock and not digests:
            raise Refusal(400, "InvalidRequest", LOCKED)
        for header, digest in digests.items():
            if base64.b64encode(digest(data)).decode() != headers[header]:
                raise Refusal(400, "BadDigest", "The checksum did not match what we received.")
        if any(headers.get(header) != value for header, value in bucket.encryption.items()):
            raise Refusal(403, "AccessDenied", DENIED.format(name, key))


class Redirected(Endpoint):
    """AWS's own hosts, all of which are at one address on the loopback."""

    at: str = ""

    def pool(self, host: str) -> Pool:
        """Connections to the loopback, whatever the host."""
        return self.pools.setdefault(host, Pool("http", self.at))
