"""JPEG: walk the segments, count the scans, keep what decides pixels (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
import struct

from classifier.errors import ImageError, ImageFormatError
from classifier.pictures.headers import exif
from classifier.pictures.headers.picture import ImageLimits, Picture, Tally

_SOI, _EOI, _SOS, _COM, _APP0, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xFE, 0xE0, 0xE1, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DECODED_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_ARITHMETIC = {0xC9, 0xCA}
"""A few bytes of arithmetic coding can keep the decoder busy for every coefficient of every scan."""
_BARE = {0x01, _SOI}
"""Markers without a length; the restart markers among them are never met, `_next_marker` skips them."""
_next_marker = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]").search


def read(data: bytes, limits: ImageLimits) -> Picture:
    """Check a JPEG up to its end-of-image marker; what follows (an MPO's second picture, a video) is not looked at."""
    walk = _Walk(data, limits)
    walk.run()
    if not walk.scans:
        raise ImageError("a JPEG without a scan")
    # Fill bytes between segments go too: Pillow reads them one by one.
    kept = b"".join([b"\xff\xd8", *(data[start:end] for start, end in walk.kept), b"\xff\xd9"])
    coefficients = walk.coefficient_bytes if walk.scans > 1 else 0
    slow = walk.arithmetic
    return Picture("JPEG", walk.width, walk.height, kept, walk.orientation or 1, walk.scans, coefficients, slow)


class _Walk:
    """One pass over the segments."""

    def __init__(self, data: bytes, limits: ImageLimits) -> None:
        self.data, self.limits, self.tally = data, limits, Tally(limits)
        self.width = self.height = self.scans = self.coefficient_bytes = 0
        self.orientation = 0
        self.arithmetic = False
        self.kept: list[tuple[int, int]] = []

    def run(self) -> None:
        """Walk to the end-of-image marker."""
        place = 2
        while True:
            found = _next_marker(self.data, place)
            if found is None:
                raise ImageError("the JPEG ends without an end-of-image marker")
            place, marker = found.start(), self.data[found.start() + 1]
            if marker == _EOI:
                return
            place = self._segment(marker, place)

    def _segment(self, marker: int, place: int) -> int:
        if marker in _BARE:
            self.tally.block()
            return place + 2
        length = int.from_bytes(self.data[place + 2 : place + 4])
        end = place + 2 + length
        if length < 2 or end > len(self.data):
            raise ImageError(f"segment {marker:#x} of the JPEG reaches past its end")
        if marker == _COM or (_APP0 <= marker <= 0xEF):
            self._metadata(marker, place, end)
            return end
        self.tally.block()
        if marker in _FRAMES:
            self._frame(marker, place + 4)
        if marker == _SOS:
            end = self._scan(end)
        self.kept.append((place, end))
        return end

    def _metadata(self, marker: int, place: int, end: int) -> None:
        self.tally.metadata(end - place)
        body = self.data[place + 4 : place + 10]
        if marker == _APP1 and body == b"Exif\0\0" and not self.orientation:
            self.orientation = exif.orientation(self.data[place + 10 : end])
        if (marker == _APP0 and body.startswith(b"JFIF\0")) or (marker == _APP14 and body.startswith(b"Adobe")):
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
        self.width, self.height = width, height
        self.arithmetic = marker in _ARITHMETIC
        factors = [self.data[place] for place in range(body + 7, body + 6 + 3 * components, 3)]
        self.coefficient_bytes = 2 * width * height * _planes(factors)

    def _scan(self, start: int) -> int:
        """Count one scan and return where the entropy-coded data after its header ends."""
        if not self.width:
            raise ImageError("a JPEG scan before its frame header")
        self.scans += 1
        self.limits.check_scans(self.scans, self.width * self.height)
        found = _next_marker(self.data, start)
        return found.start() if found else len(self.data)


def _planes(factors: list[int]) -> int:
    """Return how many planes of full size the components make up, rounded up, from their sampling factors (B.2.2)."""
    across, down = [factor >> 4 for factor in factors], [factor & 15 for factor in factors]
    samples = sum(a * b for a, b in zip(across, down, strict=True))
    return -(-samples // max(1, max(across) * max(down)))
