"""Pictures for tests, made by Pillow or byte by byte: plain ones, awkward ones and hostile ones."""

from __future__ import annotations

import io
import re
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112


def photo(width: int = 61, height: int = 47, mode: str = "RGB") -> Image.Image:
    """A smooth, colourful picture without symmetry, the same every time."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    bands = [127 + 127 * np.sin(x / 7 + y / 13), x * 255 / max(1, width - 1), y * 200 / max(1, height - 1) + 20]
    return Image.fromarray(np.stack(bands, axis=-1).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def decoded(data: bytes) -> Image.Image:
    """The picture as plain Pillow sees it."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_jpeg_segments(data: bytes, *segments: bytes) -> bytes:
    """Put segments behind the start-of-image marker."""
    return data[:2] + b"".join(segments) + data[2:]


def many_scans(image: Image.Image, scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are as many."""
    data = encoded(image, "JPEG", progressive=True)
    starts = [found.start() for found in re.finditer(rb"\xff\xda", data)]
    return data[:-2] + data[starts[-1] : -2] * (scans - len(starts)) + data[-2:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_png_chunks(data: bytes, *chunks: bytes) -> bytes:
    """Put chunks behind the header chunk."""
    return data[:33] + b"".join(chunks) + data[33:]


def png(width: int, height: int, bits: int, color: int, rows: bytes) -> bytes:
    """A PNG of any depth; `rows` are unfiltered, each beginning with its filter byte."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def interlaced_png(image: Image.Image) -> bytes:
    """A PNG that comes in the seven passes of Adam7."""
    pixels = np.asarray(image)
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    rows = b"".join(b"\0" + row.tobytes() for y, dy, x, dx in passes for row in pixels[y::dy, x::dx] if row.size)
    data = bytearray(png(image.width, image.height, 8, 2, rows))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def png_16(values: np.ndarray[Any, Any]) -> bytes:
    """A 16-bit PNG, gray for (height, width) and colour for (height, width, 3)."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(width, height, 16, 2 if values.ndim == 3 else 0, rows)


def bomb_png(width: int, height: int) -> bytes:
    """A small file that announces, and holds, an enormous picture of one bit a pixel."""
    return png(width, height, 1, 0, b"\0" * min((width // 8 + 2) * height, 1_000_000))


def adobe_ycck(image: Image.Image) -> bytes:
    """A CMYK JPEG that Adobe's marker declares to be YCCK."""
    data = encoded(image.convert("CMYK"), "JPEG")
    marker = data.index(b"Adobe")
    return data[: marker + 11] + b"\x02" + data[marker + 12 :]


def offset_gif(transparent: bool) -> bytes:
    """A GIF of 8x8 whose first frame is 4x4 at (2, 2), with or without transparency around it."""
    palette = bytes([255, 0, 0, 0, 0, 255]) + bytes(6)
    control = b"\x21\xf9\x04\x01\x00\x00\x01\x00" if transparent else b""
    frame = encoded(Image.new("P", (4, 4), 0), "GIF")
    pixels = frame[frame.index(b"\x2c") + 10 : -1]
    screen = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x91, 0, 0) + palette
    return screen + control + b"\x2c" + struct.pack("<HHHHB", 2, 2, 4, 4, 0) + pixels + b";"


def large_canvas_webp(side: int = 5000) -> bytes:
    """A WebP of a hundred bytes: one pixel, animated, on a canvas of millions."""
    plain = encoded(Image.new("RGB", (1, 1)), "WEBP", lossless=True)
    frame = struct.pack("<3s3sHBHB3sB", bytes(3), bytes(3), 0, 0, 0, 0, bytes(3), 0) + plain[12:]
    canvas = struct.pack("<I", side - 1)[:3] * 2
    body = b"WEBP" + b"VP8X" + struct.pack("<IB3x", 10, 2) + canvas + b"ANIM" + struct.pack("<I6x", 6)
    body += b"ANMF" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body
