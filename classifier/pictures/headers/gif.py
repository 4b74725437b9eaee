"""GIF: walk to the end of the first frame and keep just that (GIF89a specification)."""

from __future__ import annotations

import struct

from classifier.errors import ImageError
from classifier.pictures.headers.picture import ImageLimits, Picture, Tally

_EXTENSION, _IMAGE, _GRAPHIC_CONTROL = 0x21, 0x2C, 0xF9


def read(data: bytes, limits: ImageLimits) -> Picture:
    """Check a GIF's header and its first frame; later frames are not looked at."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    place = 13 + _palette_bytes(flags)
    kept = [data[:place]]
    tally = Tally(limits)
    while (introducer := data[place]) == _EXTENSION:
        end = _blocks_end(data, place + 2, tally, metadata=True)
        if data[place + 1] == _GRAPHIC_CONTROL:
            kept.append(data[place:end])
        place = end
    if introducer != _IMAGE:
        raise ImageError("a GIF without a frame")
    left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", data, place + 1)
    # A frame may reach past the screen that the header announces: the decoder then enlarges the screen.
    width, height = max(width, left + frame_width), max(height, top + frame_height)
    limits.check_size("GIF", width, height)
    end = _blocks_end(data, place + 11 + _palette_bytes(flags), tally, metadata=False)
    kept.append(data[place:end])
    return Picture("GIF", width, height, b"".join(kept) + b";")


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks_end(data: bytes, place: int, tally: Tally, *, metadata: bool) -> int:
    """Return the offset behind a row of sub-blocks, each a length byte and as many bytes, ended by a zero."""
    start = place
    while size := data[place]:
        place += size + 1
        tally.block()
    if metadata:
        tally.metadata(place - start)
    return place + 1
