"""BMP: size and compression from the header."""

from __future__ import annotations

import struct

from classifier.pictures.headers.picture import ImageLimits, Picture

_OS2_HEADER = 12
_RUN_LENGTH = {1, 2}
_INFO_HEADERS = {12, 40, 52, 56, 64, 108, 124}
_DEPTHS = {1, 4, 8, 16, 24, 32}


def is_bare(head: bytes) -> bool:
    """Whether the bytes are a bitmap without the file's 14 bytes before it (DIB): header size, one plane, a depth."""
    if len(head) < 16 or int.from_bytes(head[:4], "little") not in _INFO_HEADERS:
        return False
    planes, depth = struct.unpack_from("<HH", head, 8 if head[0] == _OS2_HEADER else 12)
    return planes == 1 and depth in _DEPTHS


def read(data: bytes, limits: ImageLimits) -> Picture:
    """Check a BMP's size; run-length coded ones are marked slow, because Pillow decodes them in Python."""
    if is_bare(data):
        data = b"BM" + struct.pack("<III", len(data) + 14, 0, 0) + data  # pixels follow the palette
    (header,) = struct.unpack_from("<I", data, 14)
    if header == _OS2_HEADER:
        width, height = struct.unpack_from("<HH", data, 18)
        compression = 0
    else:
        width, height = struct.unpack_from("<ii", data, 18)
        (compression,) = struct.unpack_from("<I", data, 30) if header >= 40 else (0,)
    limits.check_size("BMP", width, abs(height))
    return Picture("BMP", width, abs(height), data, slow=compression in _RUN_LENGTH)
