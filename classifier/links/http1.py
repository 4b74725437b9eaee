"""Reads one HTTP/1.x reply from a server that may lie, stall or never end.

Written instead of using http.client, which skips `100 Continue` and trailers without end, takes end of stream for the
end of the head, allows 100 header lines of 65 kB each, reads `+5`, `1_0` and `-5` as chunk sizes, and has no deadline.
Rules: RFC 9112. Errors: FetchError and its classes, ImageTooLargeError, and TimeoutError when the deadline passes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from classifier.errors import FetchError, FetchIncompleteError, ImageTooLargeError
from classifier.links.wire import BrokenStreamError
from classifier.records import Record

if TYPE_CHECKING:
    from classifier.links.wire import Wire

SWITCHING_PROTOCOLS = 101
MAX_INTERIM_REPLIES = 8
MAX_CODINGS = 2
MAX_GZIP_MEMBERS = 100
"""A flood of tiny ones costs minutes."""
MAX_CHUNK_LINE = 4096

_ZLIB_CODINGS = ("gzip", "x-gzip", "deflate")
_CODINGS = (*_ZLIB_CODINGS, "br", "compress", "x-compress", "dcb", "dcz", "zstd")
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] +([1-9][0-9][0-9])(?: .*)?")
_FIELD_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110's token: no space before the colon
_CHUNK_SIZE = re.compile(rb"0*([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?")


class Head(Record):
    """Status and header fields of a final reply, names in lower case."""

    status: int
    fields: dict[str, list[str]]

    def list(self, name: str) -> list[str]:
        """The members of a comma-separated field, in lower case."""
        parts = (part.strip().lower() for value in self.fields.get(name, []) for part in value.split(","))
        return [part for part in parts if part]


def read_head(wire: Wire, max_bytes: int, max_fields: int) -> Head:
    """The head of the final reply; `max_bytes` and `max_fields` count those of interim replies (1xx) too."""
    try:
        for _ in range(MAX_INTERIM_REPLIES + 1):
            status, lines = _one_head(wire, max_bytes)
            max_bytes -= sum(map(len, lines))
            max_fields -= len(lines)
            if max_fields < 0:
                raise FetchError("too many header fields")
            if status >= 200 or status == SWITCHING_PROTOCOLS:  # no HTTP/1 follows after a switch
                return Head(status, _fields(lines))
    except BrokenStreamError as error:
        raise FetchError(f"in the head: {error}") from error
    raise FetchError("interim replies without end")


def _one_head(wire: Wire, max_bytes: int) -> tuple[int, list[bytes]]:
    first = wire.line(max_bytes)
    found = _STATUS_LINE.fullmatch(first)
    if not found:
        raise FetchError(f"no HTTP/1 status line: {first[:40]!r}")
    lines: list[bytes] = []
    left = max_bytes - len(first)
    while line := wire.line(left + 2):
        if b"\r" in line or b"\0" in line:
            raise FetchError("a control character in a header field")
        left = max(0, left - len(line) - 2)
        lines.append(line)
    return int(found.group(1)), lines


def _fields(lines: list[bytes]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    values: list[str] = []
    for line in lines:
        if line[:1] in b" \t" and values:
            values[-1] = f"{values[-1]} {_text(line)}".strip()  # RFC 9112 section 5.2: a folded line
            continue
        name, colon, value = line.partition(b":")
        if not colon or not _FIELD_NAME.fullmatch(name):
            raise FetchError("a header line that is no field")
        values = fields.setdefault(name.decode().lower(), [])
        values.append(_text(value))
    return fields


def _text(value: bytes) -> str:
    value = value.strip(b" \t")
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def read_body(wire: Wire, head: Head, max_bytes: int) -> bytes:
    """The body, its content codings removed; neither form may be over `max_bytes`."""
    try:
        body = _framed_body(wire, head, max_bytes)
    except BrokenStreamError as error:
        raise FetchIncompleteError(str(error)) from error
    except TimeoutError:
        raise
    except OSError as error:
        raise FetchIncompleteError(f"the connection broke: {error}") from error
    # Objects of S3 say UTF-8, base64, aws-chunked, none: names that are no coding are ignored, as browsers do.
    codings = [coding for coding in head.list("content-encoding") if coding in _CODINGS]
    if len(codings) > MAX_CODINGS:
        raise FetchError(f"{len(codings)} content codings")
    for coding in reversed(codings):
        body = _decoded(body, coding, max_bytes)
    return bytes(body)


def _framed_body(wire: Wire, head: Head, max_bytes: int) -> bytes | bytearray:
    transfer = [coding for coding in head.list("transfer-encoding") if coding != "identity"]
    if transfer == ["chunked"]:  # and Content-Length, if any, does not count: RFC 9112 section 6.3
        return _chunks(wire, max_bytes)
    if transfer:
        raise FetchError("a transfer coding other than chunked")
    lengths = set(head.list("content-length"))
    if "content-length" not in head.fields:
        if len(body := wire.take_all(max_bytes)) > max_bytes:
            raise ImageTooLargeError(f"over {max_bytes} bytes")
        return body
    if len(lengths) != 1 or not re.fullmatch("[0-9]+", length := lengths.pop()):
        raise FetchError("a Content-Length that is no number, or several that differ")
    if len(length.lstrip("0")) > 18 or int(length) > max_bytes:
        raise ImageTooLargeError(f"over {max_bytes} bytes are announced")
    wire.take(int(length), body := bytearray())
    return body


def _chunks(wire: Wire, max_bytes: int) -> bytearray:
    """The chunks' data. Trailers are left unread: the connection is closed next."""
    body = bytearray()
    overhead = 0
    while True:
        line = wire.line(MAX_CHUNK_LINE)
        found = _CHUNK_SIZE.fullmatch(line)
        if not found:
            raise FetchIncompleteError("a chunk size that is no number")
        size = int(found.group(1), 16)
        if not size:
            return body
        overhead += len(line)
        if len(body) + size > max_bytes or overhead > max_bytes:
            raise ImageTooLargeError(f"over {max_bytes} bytes in chunks")
        wire.take(size, body)
        if wire.line(2):
            raise FetchIncompleteError("a chunk longer than its size")


def _decoded(body: bytes | bytearray, coding: str, max_bytes: int) -> bytes | bytearray:
    """One content coding removed; of gzip all members (RFC 1952 section 2.2). What follows the end is ignored."""
    if coding not in _ZLIB_CODINGS:
        raise FetchError(
            f"content coding {coding}", public="The picture's server packs it in a way that it was not asked for."
        )
    if not body or (coding != "deflate" and not body.startswith(b"\x1f\x8b")):
        return body  # the bytes decide
    if coding == "deflate":  # it comes with and without zlib's head
        return _unpacked(body, 15 if body[0] & 0x0F == 8 else -15, max_bytes)[0]
    plain = bytearray()
    rest: bytes | bytearray = body
    for _ in range(MAX_GZIP_MEMBERS):
        part, rest = _unpacked(rest, 31, max_bytes - len(plain))
        plain += part
        if not rest.startswith(b"\x1f\x8b"):
            return plain
    raise FetchError(f"more than {MAX_GZIP_MEMBERS} gzip members")


def _unpacked(body: bytes | bytearray, wbits: int, max_bytes: int) -> tuple[bytes, bytes]:
    """One zlib stream, and what follows it."""
    import zlib

    decoder = zlib.decompressobj(wbits)
    try:
        plain = decoder.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise FetchError(f"broken content coding: {error}") from error
    if len(plain) > max_bytes:
        raise ImageTooLargeError(f"over {max_bytes} bytes once unpacked")
    if not decoder.eof:
        raise FetchIncompleteError("the content coding's stream has no end")
    return plain, decoder.unused_data
