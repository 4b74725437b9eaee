"""An RGB image as PNG (RFC 2083) for little time: one filter for all lines, and Huffman's codes without a search.

Pillow's encoder tries all five filters on each line, which takes longer than the rest together. Of a photograph, zlib's
search for what was there before (even at level 1) takes longer than coding does, and finds next to nothing.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB_8 = bytes([8, 2, 0, 0, 0])
"""Bit depth, colour type, and the only compression, filter and interlace methods there are (or none)."""
_UP = b"\x02"
"""The filter that says how each byte differs from the one above it; above the first line are zeros."""


def as_png(image: Image) -> bytes:
    """The file of an image of mode RGB."""
    from PIL import Image as Pillow
    from PIL import ImageChops

    above = Pillow.new("RGB", image.size)
    above.paste(image, (0, 1))
    differences = ImageChops.subtract_modulo(image, above).tobytes()
    line = 3 * image.width
    lines = b"".join(part for at in range(0, len(differences), line) for part in (_UP, differences[at : at + line]))
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_HUFFMAN_ONLY)
    packed = packer.compress(lines) + packer.flush()
    header = struct.pack(">II", *image.size) + _RGB_8
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
