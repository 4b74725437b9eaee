"""PNG: walk the chunks, keep the five kinds that decide pixels (PNG specification, third edition)."""

from __future__ import annotations

import struct
import zlib

from classifier.errors import ImageError
from classifier.pictures.headers import exif
from classifier.pictures.headers.picture import ImageLimits, Picture, Tally

_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


def read(data: bytes, limits: ImageLimits) -> Picture:
    """Check a PNG up to its IEND chunk, checksums of the kept chunks included; of an animation, the default picture."""
    tally = Tally(limits)
    kept = [data[:8]]
    orientation, place = 1, 8
    width, height = _size(data, limits)
    seen: set[bytes] = set()
    while b"IEND" not in seen:
        (length,) = struct.unpack_from(">I", data, place)
        kind, end = data[place + 4 : place + 8], place + 12 + length
        if end > len(data):
            raise ImageError(f"chunk {kind!r} of the PNG reaches past its end")
        if kind in _KEPT:
            tally.block()
            _check_sum(data, place, end)
            kept.append(data[place:end])
        elif not kind[:1].islower():
            raise ImageError(f"a PNG with the critical chunk {kind!r}")
        else:
            tally.metadata(length)
            if kind == b"eXIf":
                orientation = exif.orientation(data[place + 8 : end - 4])
        seen.add(kind)
        place = end
    if b"IDAT" not in seen:
        raise ImageError("a PNG without picture data")
    return Picture("PNG", width, height, b"".join(kept), orientation)


def _size(data: bytes, limits: ImageLimits) -> tuple[int, int]:
    length, kind, width, height = struct.unpack_from(">I4sII", data, 8)
    if kind != b"IHDR" or length != 13:
        raise ImageError("a PNG that does not begin with its header")
    limits.check_size("PNG", width, height)
    return width, height


def _check_sum(data: bytes, place: int, end: int) -> None:
    (expected,) = struct.unpack_from(">I", data, end - 4)
    if zlib.crc32(memoryview(data)[place + 4 : end - 4]) != expected:
        raise ImageError(f"chunk {data[place + 4 : place + 8]!r} of the PNG has a wrong checksum")
