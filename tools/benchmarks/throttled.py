"""S3 at the pace that Lambda sees: so many bytes a second for all connections together, and a wait before each reply.

moto copies a whole object for each range of it, which would be most of what is measured: `files` are served from disk.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

from local.s3 import LocalS3

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

BYTES_A_SECOND = 80_000_000
"""What a function of 640 MB of memory and more reads from S3, outside of a VPC."""
WAIT_S = 0.015
_CHUNK_BYTES = 1 << 16


class ThrottledS3(LocalS3):
    """moto's server with Lambda's pace. `files` are objects by path, `/bucket/key`, that lie on disk."""

    def __init__(self, bytes_a_second: float = BYTES_A_SECOND, wait_s: float = WAIT_S) -> None:
        super().__init__()
        self._rate, self._wait_s = bytes_a_second, wait_s
        self._lock, self._free_at = Lock(), 0.0
        self.files: dict[str, Path] = {}

    def _watch(self, app: WSGIApplication) -> WSGIApplication:
        watched = super()._watch(app)

        def paced(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            file = self.files.get(environ["PATH_INFO"])
            body = watched(environ, start_response) if file is None else _part(file, environ, start_response)
            return self._paced(body)

        return paced

    def _paced(self, body: Iterable[bytes]) -> Iterator[bytes]:
        time.sleep(self._wait_s)
        for part in body:
            for start in range(0, len(part), _CHUNK_BYTES):
                chunk = part[start : start + _CHUNK_BYTES]
                with self._lock:
                    self._free_at = max(self._free_at, time.monotonic()) + len(chunk) / self._rate
                    until = self._free_at
                time.sleep(max(0.0, until - time.monotonic()))
                yield chunk


def _part(file: Path, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """The bytes that a Range header asks for, as the only reply that is needed here."""
    first, _, last = environ["HTTP_RANGE"].removeprefix("bytes=").partition("-")
    start, end, size = int(first), int(last) + 1, file.stat().st_size
    headers = [("Content-Length", str(end - start)), ("Content-Range", f"bytes {start}-{end - 1}/{size}")]
    start_response("206 Partial Content", headers)
    return _read(file, start, end)


def _read(file: Path, start: int, end: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        stream.seek(start)
        while start < end and (chunk := stream.read(min(_CHUNK_BYTES, end - start))):
            start += len(chunk)
            yield chunk
