"""The JSON text of a request's body as TensorFlow Serving takes it, plain or gzip, and no more than memory allows.

TensorFlow Serving unpacks what says `Content-Encoding: gzip` (net_http's `auto_uncompress_input`), to 100 MB at most.
"""

from __future__ import annotations

from classifier.errors import RequestError

MAX_UNPACKED_BYTES = 100_000_000
_PARSED_BYTES = 40
"""Most memory that a byte of JSON takes once parsed: empty objects and short lists took 25."""
_MAGIC = b"\x1f\x8b"
_IDENTITY, _GZIP = ("", "identity"), ("gzip", "x-gzip")


def plain_json(body: bytes, coding: str, left: int | None) -> bytes:
    """The body without its content coding, `coding` being its header's value; `left` is free memory, None no limit.

    RequestError if it is coded otherwise, broken, or could take more than `left` bytes once parsed.
    """
    coding = coding.strip().lower()
    if coding in _IDENTITY:
        check_memory(body, left)
        return body
    if coding not in _GZIP:
        raise RequestError(public="Content-Encoding can be gzip; send other codings' bodies as they are.")
    most = MAX_UNPACKED_BYTES if left is None else min(MAX_UNPACKED_BYTES, left // _PARSED_BYTES)
    # A gateway that unpacked the body may have left the header; JSON never begins like gzip.
    plain = _unpacked(body, most) if body.startswith(_MAGIC) else body
    check_memory(plain, left)
    return plain


def check_memory(body: bytes, left: int | None) -> None:
    """RequestError if parsing the JSON in `body` could take more than `left` bytes; None is no limit."""
    most = len(body) * _PARSED_BYTES
    if left is not None and most > left:
        raise _too_large(f"{len(body)} bytes of JSON may take {most} bytes, {left} are left")


def _unpacked(body: bytes, most: int) -> bytes:
    """One gzip member and nothing after it: a flood of tiny members costs minutes."""
    import zlib

    decoder = zlib.decompressobj(wbits=31)
    try:
        plain = decoder.decompress(body, most + 1)
    except zlib.error as error:
        raise RequestError(f"gzip: {error}", public="The gzip body is broken.") from error
    if len(plain) > most:
        raise _too_large(f"over {most} bytes after gzip")
    if not decoder.eof or decoder.unused_data:
        raise RequestError("gzip: no end, or data after it", public="The gzip body is broken.")
    return plain


def _too_large(reason: str) -> RequestError:
    text = "The request holds more than there is memory for. Send fewer rows at once."
    return RequestError(reason, public=text)
