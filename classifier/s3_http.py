"""HTTP to S3: where a bucket is, kept-alive connections, one deadline over connect, headers and body."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from classifier.sigv4 import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Endpoint", "HTTPException", "Pool", "Reply", "TooLargeError", "environment_credentials"]

CHUNK_BYTES = 1 << 20
LONGEST_SILENCE_S = 5.0


class TooLargeError(Exception):
    """The body is larger than allowed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers (names in lower case) and whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Pool:
    """Connections to one host; a connection serves one thread at a time and is kept for the next."""

    scheme: str
    host: str
    idle: list[HTTPConnection] = field(default_factory=list)

    def send(
        self, method: str, target: str, headers: Mapping[str, str], payload: bytes, deadline: float, max_bytes: int
    ) -> Reply:
        """One request; OSError or HTTPException if it fails, also when `deadline` (time.monotonic()) passes."""
        while True:
            reused = bool(self.idle)
            connection = self.idle.pop() if self.idle else self._connect()
            try:
                reply = _exchange(connection, method, target, headers, payload, deadline, max_bytes)
            except (ConnectionError, HTTPException):
                connection.close()
                # S3 closes idle connections, and Lambda freezes us for minutes: a kept one may be dead.
                if not reused:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                self.idle.append(connection)
                return reply

    def _connect(self) -> HTTPConnection:
        kind = HTTPSConnection if self.scheme == "https" else HTTPConnection
        return kind(self.host)


def _exchange(
    connection: HTTPConnection,
    method: str,
    target: str,
    headers: Mapping[str, str],
    payload: bytes,
    deadline: float,
    max_bytes: int,
) -> Reply:
    _limit(connection, deadline)
    connection.request(method, target, body=payload or None, headers=dict(headers))
    response = connection.getresponse()
    body = _read(connection, response, deadline, max_bytes)
    return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, body)


def _read(connection: HTTPConnection, response: HTTPResponse, deadline: float, max_bytes: int) -> bytes:
    announced = response.length
    if announced is not None and announced > max_bytes:
        raise TooLargeError(f"{announced} bytes, at most {max_bytes} are read")
    chunks: list[bytes] = []
    size = 0
    while size <= max_bytes:
        _limit(connection, deadline)
        chunk = response.read1(CHUNK_BYTES)
        if not chunk:
            if announced is not None and size != announced:
                raise IncompleteRead(b"", announced - size)
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
    raise TooLargeError(f"more than {max_bytes} bytes")


def _limit(connection: HTTPConnection, deadline: float) -> None:
    left = min(deadline - time.monotonic(), LONGEST_SILENCE_S)
    if left <= 0:
        raise TimeoutError("the deadline has passed")
    connection.timeout = left
    if connection.sock is not None:
        connection.sock.settimeout(left)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where S3 is: AWS's own hosts for `region`, or one address for everything (`url`: tests, MinIO, LocalStack)."""

    region: str
    url: str | None = None
    pools: dict[str, Pool] = field(default_factory=dict)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Endpoint:
        """The region and endpoint that the AWS SDKs read from the environment."""
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        return cls(region, environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None)

    def address(self, bucket: str, key: str) -> tuple[str, str]:
        """(host, path) of an object: virtual-hosted, or path-style at an own endpoint and for dotted buckets."""
        if self.url:
            parts = urlsplit(self.url)
            return parts.netloc, f"{parts.path.rstrip('/')}/{bucket}/{key}"
        domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        if "." in bucket:
            return f"s3.{self.region}.{domain}", f"/{bucket}/{key}"
        return f"{bucket}.s3.{self.region}.{domain}", f"/{key}"

    def pool(self, host: str) -> Pool:
        """The kept connections to `host`."""
        scheme = urlsplit(self.url).scheme if self.url else "https"
        return self.pools.setdefault(host, Pool(scheme, host))


def environment_credentials() -> Credentials:
    """Lambda's own credentials; elsewhere whatever boto3 would find (profile, container, instance)."""
    access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if access and secret:
        return Credentials(access, secret, os.environ.get("AWS_SESSION_TOKEN"))
    import botocore.session

    found = botocore.session.get_session().get_credentials()
    if found is None:
        raise PermissionError("no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile")
    frozen = found.get_frozen_credentials()
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)
