"""WebP: walk the RIFF chunks, keep the picture or an animation's first frame (RFC 9649)."""

from __future__ import annotations

import struct

from classifier.errors import ImageError
from classifier.pictures.headers import exif
from classifier.pictures.headers.picture import ImageLimits, Picture, Tally

_EXIF_FLAG, _XMP_FLAG = 0x08, 0x04
_PICTURE = {b"VP8 ", b"VP8L", b"ANMF"}
_KEPT = {b"VP8X", b"ALPH", b"ANIM"} | _PICTURE
_METADATA_FLAGS = 0x2C
"""ICC profile, EXIF and XMP: the chunks are dropped, so the flags of VP8X must not announce them."""


def read(data: bytes, limits: ImageLimits) -> Picture:
    """Check a WebP's chunks against the announced length; ImageError when bytes are missing."""
    (length,) = struct.unpack_from("<I", data, 4)
    if length + 8 > len(data):
        raise ImageError(f"the WebP announces {length + 8} bytes and has {len(data)}")
    width, height = _size(data)
    limits.check_size("WEBP", width, height)
    kept, orientation = _chunks(data, length + 8, Tally(limits))
    body = b"WEBP" + b"".join(kept)
    return Picture("WEBP", width, height, b"RIFF" + struct.pack("<I", len(body)) + body, orientation)


def _chunks(data: bytes, end: int, tally: Tally) -> tuple[list[bytes], int]:
    """What is kept, and the orientation: of EXIF and XMP those that the header announces, as libwebp has it."""
    kept: list[bytes] = []
    metadata: dict[bytes, bytes] = {}
    flags = data[20] if data[12:16] == b"VP8X" else 0
    place, pictured = 12, False
    while place + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, place)
        after = place + 8 + length + (length & 1)
        if place + 8 + length > end:
            if pictured:
                break
            raise ImageError(f"chunk {kind!r} of the WebP reaches past its end")
        tally.block()
        if kind not in _KEPT:
            tally.metadata(length)
            metadata.setdefault(kind, data[place + 8 : place + 8 + length])
        elif not pictured:
            kept.append(_chunk(kind, data[place:after]))
            pictured = kind in _PICTURE
        place = after
    if not pictured:
        raise ImageError("a WebP without picture data")
    stated = metadata.get(b"EXIF", b"") if flags & _EXIF_FLAG else b""
    packet = metadata.get(b"XMP ", b"") if flags & _XMP_FLAG else b""
    return kept, exif.orientation(stated, packet)


def _chunk(kind: bytes, chunk: bytes) -> bytes:
    padded = chunk + b"\0" * (len(chunk) & 1)
    if kind == b"VP8X":
        return padded[:8] + bytes([padded[8] & ~_METADATA_FLAGS]) + padded[9:]
    return padded


def _size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return (low_w | high_w << 16) + 1, (low_h | high_h << 16) + 1
    raise ImageError(f"a WebP that begins with chunk {kind!r}")
