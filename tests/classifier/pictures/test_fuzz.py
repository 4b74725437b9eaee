"""Whatever is done to a real picture, it is decoded or refused as a picture, in its own process's bounds."""

from __future__ import annotations

import tracemalloc
import zlib

import hypothesis
import pytest
from hypothesis import strategies as st

from classifier.errors import ImageError
from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from classifier.pictures.preprocessing import Preprocessing
from tests.support import pictures

LIMITS = ImageLimits(max_bytes=100_000, max_jpeg_pixels=400_000, max_pixels=400_000, decode_timeout_s=5)
SPEC = Preprocessing(size=(20, 30))
MOST_PYTHON_BYTES = 20_000_000
REAL = {
    "JPEG": pictures.encoded(pictures.photo(), "JPEG"),
    "progressive JPEG": pictures.encoded(pictures.photo(), "JPEG", progressive=True, exif=pictures.exif(6)),
    "PNG": pictures.encoded(pictures.photo(mode="RGBA"), "PNG"),
    "interlaced PNG": pictures.interlaced_png(pictures.photo()),
    "GIF": pictures.encoded(pictures.photo(), "GIF", transparency=3),
    "WebP": pictures.encoded(pictures.photo(), "WEBP"),
    "lossless WebP": pictures.encoded(pictures.photo(mode="RGBA"), "WEBP", lossless=True),
    "BMP": pictures.encoded(pictures.photo(mode="P"), "BMP"),
}
PLACES = st.floats(0, 1, exclude_max=True)
EDITS = st.lists(st.tuples(PLACES, st.integers(0, 12), st.binary(max_size=12), st.booleans()), min_size=1, max_size=6)


def edited(data: bytes, edits: list[tuple[float, int, bytes, bool]]) -> bytes:
    """Bytes replaced, removed or inserted; those edits that say so are made in the header."""
    damaged = bytearray(data)
    for place, removed, put, in_header in edits:
        at = int(place * (min(200, len(damaged)) if in_header else len(damaged)))
        damaged[at : at + removed] = put
    return bytes(damaged)


def with_true_checksums(data: bytes) -> bytes:
    """A PNG's chunks with their checksums mended, so that damage gets as far as the decoder."""
    mended, place = bytearray(data), 8
    while place + 12 <= len(mended):
        end = place + 8 + int.from_bytes(mended[place : place + 4])
        if end + 4 > len(mended):
            break
        mended[end : end + 4] = zlib.crc32(mended[place + 4 : end]).to_bytes(4)
        place = end + 4
    return bytes(mended)


@pytest.mark.parametrize("name", REAL)
@hypothesis.settings(max_examples=60)
@hypothesis.given(edits=EDITS, mend=st.booleans())
def test_an_edited_picture_is_decoded_or_refused(
    name: str, edits: list[tuple[float, int, bytes, bool]], mend: bool
) -> None:
    data = edited(REAL[name], edits)
    data = with_true_checksums(data) if mend and "PNG" in name else data
    tracemalloc.start()
    try:
        picture = inspect(data, LIMITS)
        assert picture.pixels <= LIMITS.max_pixels
        outcome = len(decode(picture, SPEC, LIMITS).pixels)
    except ImageError as error:
        outcome = error.status
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert outcome in (20 * 30 * 3, 413, 415, 422)
    assert peak < MOST_PYTHON_BYTES


def test_arithmetic_coding_is_decoded_where_it_can_be_stopped() -> None:
    for baseline, arithmetic in ((b"\xff\xc0", b"\xff\xc9"), (b"\xff\xc2", b"\xff\xca")):
        for name in ("JPEG", "progressive JPEG"):
            if baseline in REAL[name]:
                assert inspect(REAL[name].replace(baseline, arithmetic, 1), LIMITS).slow
                assert not inspect(REAL[name], LIMITS).slow
