"""The one thing that EXIF says about pixels: which way up they are."""

from __future__ import annotations

import struct

_ORIENTATION = 0x0112
_TYPES = {3: "H", 4: "I"}


def orientation(exif: bytes) -> int:
    """Return EXIF's orientation (1 to 8) from a TIFF structure; 1, upright, when it is missing or can't be read."""
    try:
        return _orientation(exif)
    except (struct.error, KeyError):
        return 1


def _orientation(exif: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}[exif[:2]]
    (start,) = struct.unpack_from(order + "I", exif, 4)
    (count,) = struct.unpack_from(order + "H", exif, start)
    for entry in range(start + 2, start + 2 + 12 * min(count, 1000), 12):
        tag, kind = struct.unpack_from(order + "HH", exif, entry)
        if tag == _ORIENTATION:
            (value,) = struct.unpack_from(order + _TYPES[kind], exif, entry + 8)
            return int(value) if 1 <= value <= 8 else 1
    return 1
