"""PNG: walk the chunks, keep the kinds that decide pixels (PNG specification, third edition).

Where files break the specification's order or end too early, what Pillow reads is read: the picture is the first run of
IDAT chunks, their checksums don't count (the data has one of its own), and the end need not be marked. A second header
or palette is refused, and one behind the picture: which of two counts is what decoders differ in.
"""

from __future__ import annotations

import struct
import zlib

from classifier.errors import ImageError
from classifier.pictures.headers import exif
from classifier.pictures.headers.picture import ImageLimits, Picture, Tally

_KEPT = {b"IHDR", b"PLTE", b"tRNS"}
_GAMMA = {b"gAMA": 4, b"sRGB": 1}
"""Lengths of the chunks by which libpng makes gray of colours. There the first of a kind counts, to Pillow the last."""
_ONCE = {b"IHDR", b"PLTE"}
_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_XMP, _EXIF, _RAW_EXIF = b"XML:com.adobe.xmp", b"exif", b"Raw profile type exif"
_MAX_TEXT_BYTES = 1 << 20
"""Pillow's own limit of what a text chunk unpacks to."""


def read(data: bytes, limits: ImageLimits) -> Picture:
    """Check a PNG's chunks up to its end; of an animation, the default picture."""
    walk = _Walk(data, limits)
    walk.run()
    if not walk.data_seen:
        raise ImageError("a PNG without picture data")
    picture = b"".join([data[:8], *walk.kept, _END if walk.data_ended else b""])
    return Picture("PNG", *walk.size, picture, walk.orientation(), whole=walk.data_ended)


class _Walk:
    """One pass over the chunks."""

    def __init__(self, data: bytes, limits: ImageLimits) -> None:
        self.data, self.limits, self.tally = data, limits, Tally(limits)
        self.size = (0, 0)
        self.kept: list[bytes] = []
        self.data_seen = self.data_ended = False
        self._once: set[bytes] = set()
        self._texts: dict[bytes, bytes] = {}

    def run(self) -> None:
        """Walk to IEND, or to where the chunks end or stop being chunks behind the picture."""
        place = 8
        while True:
            head = self.data[place : place + 8]
            if self.data_seen and (len(head) < 8 or not head[4:].isalpha()):
                return
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IEND":
                self.data_ended = True
                return
            end = place + 12 + length
            if kind == b"IDAT":
                self._data(place, end)
            elif end > len(self.data):
                raise ImageError(f"chunk {kind!r} of the PNG reaches past its end")
            else:
                self.data_ended = self.data_seen
                self._chunk(kind, place, end)
            place = end

    def _data(self, place: int, end: int) -> None:
        self.tally.block()
        if not self.size[0]:
            raise ImageError("a PNG with picture data before its header")
        self.data_seen = True
        if not self.data_ended:
            self.kept.append(self.data[place:end])

    def _chunk(self, kind: bytes, place: int, end: int) -> None:
        if kind in _ONCE and kind in self._once:
            raise ImageError(f"a PNG with two chunks {kind!r}")
        if kind in _ONCE and self.data_seen:
            raise ImageError(f"a PNG with the chunk {kind!r} behind its picture data")
        first = kind not in self._once
        self._once.add(kind)
        if not self.data_seen:  # a damaged name would lose the palette, or make something else one
            _check_sum(self.data, place, end)
        if kind in _KEPT or (first and not self.data_seen and _GAMMA.get(kind) == end - place - 12):
            self.tally.block()
            self.kept.append(self.data[place:end])
        else:
            self.tally.metadata(end - place)
        if kind == b"IHDR":
            self._header(place)
        elif kind == b"eXIf":
            self._texts[_EXIF] = self.data[place + 8 : end - 4]
        elif kind in _TEXTS:
            self._text(kind, self.data[place + 8 : end - 4])

    def _header(self, place: int) -> None:
        length, width, height = struct.unpack_from(">I4xII", self.data, place)
        if length != 13:
            raise ImageError(f"a PNG header of {length} bytes")
        self.limits.check_size("PNG", width, height)
        self.size = (width, height)

    def _text(self, kind: bytes, body: bytes) -> None:
        key, _, value = body.partition(b"\0")
        if key in (_XMP, _EXIF, _RAW_EXIF):
            text = _plain(kind, value)
            if text is not None:
                self._texts[key] = text

    def orientation(self) -> int:
        """What the metadata says of the way up: EXIF in its own chunk, else ImageMagick's form of it, else XMP."""
        texts = self._texts
        if _EXIF not in texts and _RAW_EXIF in texts:
            texts[_EXIF] = exif.raw_profile(texts[_RAW_EXIF])
        return exif.orientation(texts.get(_EXIF, b""), texts.get(_XMP, b""))


def _plain(kind: bytes, value: bytes) -> bytes | None:
    """A text chunk's text; None if it can't be unpacked, or unpacks to too much."""
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed, rest = value[:1] != b"\0", value[2:]
        _, _, value = rest.partition(b"\0")[2].partition(b"\0")
    elif packed:
        value = value[1:]
    if not packed:
        return value
    decoder = zlib.decompressobj()
    try:
        text = decoder.decompress(value, _MAX_TEXT_BYTES)
    except zlib.error:
        return None
    return None if decoder.unconsumed_tail else text


def _check_sum(data: bytes, place: int, end: int) -> None:
    (expected,) = struct.unpack_from(">I", data, end - 4)
    if zlib.crc32(memoryview(data)[place + 4 : end - 4]) != expected:
        raise ImageError(f"chunk {data[place + 4 : place + 8]!r} of the PNG has a wrong checksum")
