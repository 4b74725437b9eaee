"""JPEG: walk the segments, count the scans, keep what decides pixels (ITU-T T.81, annex B).

Up to the first scan only the segments that decide pixels are kept. From there on everything is libjpeg's: where restart
markers are missing, doubled or damaged it resynchronises in its own way. The walk then only counts what it may cost.
"""

from __future__ import annotations

import re
import struct

from classifier.errors import ImageError, ImageFormatError
from classifier.pictures.headers import exif
from classifier.pictures.headers.picture import ImageLimits, Picture, Tally

_SOI, _EOI, _SOS, _COM, _APP0, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xFE, 0xE0, 0xE1, 0xEE
_FIRST = 0xC0
"""Markers below it mean nothing: no decoder skips a length after them."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DECODED_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_PROGRESSIVE = {0xC2, 0xCA}
_ARITHMETIC = {0xC9, 0xCA}
"""A few bytes of arithmetic coding can keep the decoder busy for every coefficient of every scan."""
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_next_marker = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]").search
"""Restart markers, stuffed zeros and fill bytes are passed over."""


def read(data: bytes, limits: ImageLimits) -> Picture:
    """Check a JPEG up to its end-of-image marker; what follows (an MPO's second picture, a video) is not looked at."""
    walk = _Walk(data, limits)
    start = walk.head()
    end = walk.scans_end(start)
    # Fill bytes between segments go too: Pillow reads them one by one.
    kept = b"".join([b"\xff\xd8", *(data[place:after] for place, after in walk.kept), data[start:end]])
    whole = kept.endswith(b"\xff\xd9")
    coefficients = walk.coefficient_bytes if walk.in_parts or walk.scans > 1 else 0
    orientation = exif.orientation(b"".join(walk.exif), walk.xmp)
    rest = (orientation, walk.scans, coefficients, walk.arithmetic, whole)
    return Picture("JPEG", walk.width, walk.height, kept, *rest)


class _Walk:
    """One pass over the segments."""

    def __init__(self, data: bytes, limits: ImageLimits) -> None:
        self.data, self.limits, self.tally = data, limits, Tally(limits)
        self.width = self.height = self.scans = self.components = self.coefficient_bytes = 0
        self.arithmetic = self.in_parts = False
        self.exif: list[bytes] = []
        self.xmp = b""
        self.kept: list[tuple[int, int]] = []

    def head(self) -> int:
        """Walk to the first scan and return where it starts."""
        place = 2
        while True:
            found = _next_marker(self.data, place)
            if found is None:
                raise ImageError("a JPEG without a scan")
            place, marker = found.start(), self.data[found.start() + 1]
            if marker < _FIRST or marker in (_SOI, _EOI):
                raise ImageError(f"marker {marker:#x} in the head of the JPEG")
            end = self._segment_end(place)
            if end is None:
                raise ImageError(f"segment {marker:#x} of the JPEG reaches past its end")
            if marker == _SOS:
                self._first_scan(place)
                return place
            self._segment(marker, place, end)
            place = end

    def scans_end(self, start: int) -> int:
        """Count the scans from the first one on and return where the picture ends, its end marker included.

        libjpeg meets the same markers in the same order: inside a scan's data each from 0xC0 on ends it, those below
        are skipped or an error, and a length is followed behind the ones that have one. Where a segment is broken or
        the end is missing, libjpeg stops, too.
        """
        place: int | None = start
        while place is not None and (found := _next_marker(self.data, place)):
            place, marker = found.start(), self.data[found.start() + 1]
            if marker == _EOI:
                return place + 2
            self.tally.block()
            if marker == _SOS:
                self.scans += 1
                self.limits.check_scans(self.scans, self.width * self.height)
            place = place + 2 if marker < _FIRST or marker == _SOI else self._segment_end(place)
        return len(self.data)

    def _segment_end(self, place: int) -> int | None:
        """Where the segment ends whose marker is at `place`; None if that can't be."""
        length = int.from_bytes(self.data[place + 2 : place + 4])
        end = place + 2 + length
        return end if length >= 2 and end <= len(self.data) else None

    def _segment(self, marker: int, place: int, end: int) -> None:
        if marker == _COM or (_APP0 <= marker <= 0xEF):
            self._metadata(marker, place, end)
            return
        self.tally.block()
        if marker in _FRAMES:
            self._frame(marker, place + 4)
        self.kept.append((place, end))

    def _metadata(self, marker: int, place: int, end: int) -> None:
        self.tally.metadata(end - place)
        body = self.data[place + 4 : end]
        if marker == _APP1 and body.startswith(_EXIF):
            self.exif.append(body[len(_EXIF) :] if self.exif else body)
        elif marker == _APP1 and body.startswith(_XMP):
            self.xmp = body[len(_XMP) :]
        elif (marker == _APP0 and body.startswith(b"JFIF\0")) or (marker == _APP14 and body.startswith(b"Adobe")):
            self.kept.append((place, end))  # these two decide how components become colours

    def _frame(self, marker: int, body: int) -> None:
        precision, height, width, components = struct.unpack_from(">BHHB", self.data, body)
        if marker not in _DECODED_FRAMES or precision != 8 or components not in {1, 3, 4}:
            raise ImageFormatError(
                f"JPEG frame {marker:#x} of {precision} bits with {components} components",
                public="This kind of JPEG is not accepted: use baseline or progressive, with 8 bits.",
            )
        if self.width:
            raise ImageError("a JPEG with two frame headers")
        self.limits.check_size("JPEG", width, height)
        self.width, self.height, self.components = width, height, components
        self.arithmetic, self.in_parts = marker in _ARITHMETIC, marker in _PROGRESSIVE
        factors = [self.data[place] for place in range(body + 7, body + 6 + 3 * components, 3)]
        self.coefficient_bytes = 2 * width * height * _planes(factors)

    def _first_scan(self, place: int) -> None:
        if not self.width:
            raise ImageError("a JPEG scan before its frame header")
        self.in_parts |= self.data[place + 4] < self.components


def _planes(factors: list[int]) -> int:
    """Return how many planes of full size the components make up, rounded up, from their sampling factors (B.2.2)."""
    across, down = [factor >> 4 for factor in factors], [factor & 15 for factor in factors]
    samples = sum(a * b for a, b in zip(across, down, strict=True))
    return -(-samples // max(1, max(across) * max(down)))
