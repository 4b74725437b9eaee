"""Which way up a picture is, read as Pillow's `ImageOps.exif_transpose` reads it: from EXIF, else from XMP."""

from __future__ import annotations

import re
import struct

_ORIENTATION = 0x0112
_ORDERS = {
    **dict.fromkeys((b"II*\0", b"II\0*"), "<"),
    **dict.fromkeys((b"MM\0*", b"MM*\0"), ">"),
}
"""TIFF's first four bytes; the second spellings are wrong, and in files that people have."""
_NUMBERS = {3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I", 16: "Q"}
_BYTES = (1, 2, 7)
"""Types that are no numbers; an orientation of one of them says nothing."""
_PREFIX = re.compile(rb"(?:Exif\0\0){1,2}")
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """Return the orientation (1 to 8) that a TIFF structure states, else an XMP packet; 1, upright, if none does.

    An orientation in EXIF counts even if it makes no sense, and so does one that can't be read: XMP is only looked at
    where EXIF has none.
    """
    try:
        value = _in_exif(exif)
    except (struct.error, KeyError, ZeroDivisionError):
        return 1
    if value is None:
        found = _IN_XMP.search(xmp)
        value = int(found[1]) if found else 1
    return int(value) if value in range(1, 9) else 1


def raw_profile(text: bytes) -> bytes:
    """Return the bytes of ImageMagick's `Raw profile type exif`: hexadecimal digits after three lines of heading."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b"no profile"


def _in_exif(exif: bytes) -> float | None:
    """The first directory's orientation, 0 if it is no number, None if there is none.

    Of several entries the first counts whose value is all there; the values of all entries together have at most the
    structure's own size.
    """
    exif = _PREFIX.sub(b"", exif, count=1) if exif.startswith(b"Exif\0\0") else exif
    if not exif:
        return None
    order = _ORDERS[exif[:4]]
    (start,) = struct.unpack_from(order + "I", exif, 4)
    if start + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(order + "H", exif, start)
    total = 0
    for place in range(start + 2, min(start + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, number = struct.unpack_from(order + "HHI", exif, place)
        if kind not in _NUMBERS and kind not in _BYTES:
            continue
        size = number * (struct.calcsize("=" + _NUMBERS[kind]) if kind in _NUMBERS else 1)
        where = place + 8
        if size > 4:
            total += size
            if total > len(exif):
                continue
            (where,) = struct.unpack_from(order + "I", exif, where)
            if where + size > len(exif):
                return None  # Pillow reads no further
        if tag == _ORIENTATION and size:
            return _number(exif, where, order, kind)
    return None


def _number(exif: bytes, place: int, order: str, kind: int) -> float:
    if kind in _BYTES:
        return 0
    first, *divisor = struct.unpack_from(order + _NUMBERS[kind], exif, place)
    return float(first / divisor[0] if divisor else first)
