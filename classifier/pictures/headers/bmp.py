"""BMP: size and compression from the header."""

from __future__ import annotations

import struct

from classifier.pictures.headers.picture import ImageLimits, Picture

_OS2_HEADER = 12
_RUN_LENGTH = {1, 2}


def read(data: bytes, limits: ImageLimits) -> Picture:
    """Check a BMP's size; run-length coded ones are marked slow, because Pillow decodes them in Python."""
    (header,) = struct.unpack_from("<I", data, 14)
    if header == _OS2_HEADER:
        width, height = struct.unpack_from("<HH", data, 18)
        compression = 0
    else:
        width, height = struct.unpack_from("<ii", data, 18)
        (compression,) = struct.unpack_from("<I", data, 30) if header >= 40 else (0,)
    limits.check_size("BMP", width, abs(height))
    return Picture("BMP", width, abs(height), data, slow=compression in _RUN_LENGTH)
