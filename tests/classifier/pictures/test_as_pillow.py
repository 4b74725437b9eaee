"""Damaged, odd and misleading files against plain Pillow: what is answered is what it shows."""

from __future__ import annotations

import contextlib
import io
import random
import re
import struct
import warnings
import zlib
from copy import replace
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageOps

from classifier.errors import ImageError
from classifier.pictures import decode as decoding
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.preprocessing import Preprocessing
from tests.support import pictures
from tests.support.decoding import LIMITS, OPAQUE, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

PHOTO = pictures.photo(61, 47)


def shown_by_pillow(data: bytes) -> tuple[tuple[int, int], bytes] | None:
    """Size and pixels, upright and on white; None for what Pillow doesn't read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = Image.open(io.BytesIO(data))
            image.load()
            with contextlib.suppress(SyntaxError, ValueError, struct.error):  # of broken metadata; the picture is read
                image = ImageOps.exif_transpose(image)
            if image.has_transparency_data:
                layer = image.convert("RGBA")
                image = Image.new("RGB", layer.size, "white")
                image.paste(layer, mask=layer)
            return image.size, image.convert("RGB").tobytes()
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError):
        return None


def shown_by_us(data: bytes) -> tuple[tuple[int, int], bytes] | None:
    """The same of ours; None for what is refused."""
    try:
        picture = inspect(data, LIMITS)
        size = (picture.width, picture.height) if picture.orientation < 5 else (picture.height, picture.width)
        done = decoding.decode(picture, Preprocessing(size=size[::-1]), LIMITS)
    except ImageError:
        return None
    return (done.width, done.height), bytes(done.pixels)


JPEGS = {
    "baseline": OPAQUE["JPEG"],
    "with restart markers": pictures.encoded(PHOTO, "JPEG", restart_marker_rows=1),
    "progressive with restart markers": pictures.encoded(PHOTO, "JPEG", progressive=True, restart_marker_blocks=3),
}
DAMAGED = {
    **{f"JPEG {name}": data for name, data in JPEGS.items()},
    "PNG with a palette": pictures.encoded(PHOTO.quantize(20), "PNG"),
    "PNG with a transparent gray": pictures.encoded(PHOTO.convert("L"), "PNG", transparency=9),
    "GIF": OPAQUE["GIF"],
    "WebP": OPAQUE["WebP"],
    "lossless WebP": OPAQUE["lossless WebP"],
    "BMP": OPAQUE["BMP"],
    "BMP with a palette": OPAQUE["BMP with a palette"],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_one_damaged_byte_never_makes_another_picture_of_it_than_pillow_does(name: str) -> None:
    chance, answered = random.Random(name), 0
    for _ in range(100):
        data = bytearray(DAMAGED[name])
        data[chance.randrange(len(data))] = chance.choice([0xFF, chance.randrange(256)])
        ours = shown_by_us(bytes(data))
        if ours is not None:
            answered += 1
            assert ours == shown_by_pillow(bytes(data))
    assert answered or name.startswith("PNG")  # whose checksums notice nearly everything


@pytest.mark.parametrize("marker", [0x01, 0x9F, 0xBF, 0xC4, 0xD0, 0xD3, 0xD7, 0xD8, 0xD9, 0xE1, 0xF0, 0xFE])
@pytest.mark.parametrize("name", JPEGS)
def test_a_stray_marker_in_a_scan_is_left_to_libjpeg(name: str, marker: int) -> None:
    data = JPEGS[name]
    for place in range(data.index(b"\xff\xda") + 30, len(data) - 30, 97):
        damaged = data[:place] + bytes([0xFF, marker]) + data[place + 2 :]
        assert shown_by_us(damaged) == shown_by_pillow(damaged)


TAILS = (
    b"",
    b"\0",
    b"\xff",
    bytes(50),
    b"\xff\xd7" + bytes(9),
    b"\xff\xe0\0\x10",
    b"\xff\xfe\0\1\xff\xd9",
    b"\xff\xf3",
)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_without_its_end_is_read_where_pillow_reads_it(name: str, tail: bytes) -> None:
    data = JPEGS[name][:-2] + tail
    assert shown_by_us(data) == shown_by_pillow(data)


def test_a_progressive_jpeg_of_one_scan_still_costs_its_coefficients() -> None:
    data = pictures.encoded(PHOTO, "JPEG", progressive=True)
    second = [found.start() for found in re.finditer(rb"\xff\xda", data)][1]
    assert inspect(data[:second] + b"\xff\xd9", LIMITS).coefficient_bytes >= 2 * 61 * 47


PNG = pictures.encoded(PHOTO.convert("P"), "PNG")
HEAD, REST = PNG[:33], PNG[33:]
LARGE = pictures.png_chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0))
TEXT = pictures.png_chunk(b"tEXt", b"Comment\0hello")
DATA = REST.index(b"IDAT") - 4
PALETTE = REST[:DATA]
END = len(REST) - 12

CONTRADICTORY = {
    "two headers": HEAD + LARGE + REST,
    "a header behind the palette": HEAD + PALETTE + LARGE + REST[DATA:],
    "a header behind the picture": HEAD + REST[:END] + LARGE + REST[END:],
    "the same header twice": HEAD + HEAD[8:] + REST,
    "two palettes": HEAD + PALETTE + REST,
    "a palette behind the picture": HEAD + REST[:END] + PALETTE + REST[END:],
    "no header": PNG[:8] + REST,
    "picture data before the header": PNG[:8] + REST[DATA:END] + HEAD[8:] + REST,
}


@pytest.mark.parametrize("name", CONTRADICTORY)
def test_a_png_that_says_two_things_is_refused_before_anything_is_decoded(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        inspect(CONTRADICTORY[name], LIMITS)
    assert caught.value.code == "invalid_image"


def _split(data: bytes, between: bytes) -> bytes:
    """The picture data in two chunks, with something between them."""
    start = data.index(b"IDAT")
    length = int.from_bytes(data[start - 4 : start])
    body = data[start + 4 : start + 4 + length]
    chunks = [pictures.png_chunk(b"IDAT", part) for part in (body[:200], body[200:])]
    return data[: start - 4] + chunks[0] + between + chunks[1] + data[start + 8 + length :]


IDAT_SUM = PNG.index(b"IEND") - 8
UNUSUAL = {
    "no end": PNG[:-12],
    "the end cut off": PNG[:-5],
    "picture data without its last checksum": PNG[:-16],
    "picture data without its last bytes": PNG[:-18],
    "a wrong checksum of the picture data": PNG[:IDAT_SUM] + b"\0\1\2\3" + PNG[IDAT_SUM + 4 :],
    "a wrong checksum of the palette": HEAD + PALETTE[:-4] + b"\0\1\2\3" + REST[DATA:],
    "a text before the header": PNG[:8] + TEXT + PNG[8:],
    "a critical chunk that nobody knows": HEAD + pictures.png_chunk(b"ABCD", b"x") + REST,
    "a palette with a damaged name": HEAD + PALETTE.replace(b"PLTE", b"PLTF") + REST[DATA:],
    "picture data in two chunks": _split(PNG, b""),
    "picture data in two runs": _split(PNG, TEXT),
    "transparency behind the picture": PNG[:-12] + pictures.png_chunk(b"tRNS", b"\0\0\0") + PNG[-12:],
    "rubbish behind the picture": PNG[:-12] + b"\0\1\2\3\4\5\6\7\x08" * 9,
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_png_is_read_as_pillow_reads_it(name: str) -> None:
    assert shown_by_us(UNUSUAL[name]) == shown_by_pillow(UNUSUAL[name])


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_a_bitmap_without_a_file_header_is_read(mode: str) -> None:
    data = pictures.encoded(PHOTO.convert(mode), "DIB")
    assert inspect(data, LIMITS).format == "BMP"
    assert shown_by_us(data) == shown_by_pillow(data)


def test_a_tga_without_footer_is_read() -> None:
    data = pictures.encoded(PHOTO, "TGA")[:-26]
    assert decode(data, size=(47, 61)).pixels == PHOTO.tobytes()


@pytest.mark.parametrize("name", ["JPEG", "progressive JPEG", "PNG", "GIF", "WebP", "animated WebP", "BMP"])
def test_the_decoders_own_size_is_held_against_the_checked_one(name: str) -> None:
    picture = inspect(OPAQUE[name], LIMITS)
    with pytest.raises(ImageError, match="contradict"):
        decoding.decode(replace(picture, width=picture.width + 1), Preprocessing(size=(20, 30)), LIMITS)


# Which way up.

TIFF_SHORT, TIFF_LONG, TIFF_BYTE, TIFF_TEXT, TIFF_FLOAT, TIFF_RATIONAL = 3, 4, 1, 2, 11, 5


def tiff(*entries: tuple[int, int, int, bytes], order: str = "<", tail: bytes = b"", magic: bytes = b"") -> bytes:
    """An EXIF structure of (tag, type, count, four bytes of value or offset)."""
    head = magic or (b"II*\0" if order == "<" else b"MM\0*")
    rows = b"".join(struct.pack(order + "HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return head + struct.pack(order + "I", 8) + struct.pack(order + "H", len(entries)) + rows + bytes(4) + tail


def entry(kind: int = TIFF_SHORT, count: int = 1, value: bytes = b"\6\0\0\0") -> tuple[int, int, int, bytes]:
    return (0x0112, kind, count, value)


AT_26 = struct.pack("<I", 26)
EXIFS = {
    "a short": tiff(entry()),
    "big-endian": tiff(entry(value=b"\0\6\0\0"), order=">"),
    "a long": tiff(entry(TIFF_LONG)),
    "a byte": tiff(entry(TIFF_BYTE)),
    "text": tiff(entry(TIFF_TEXT, 2, b"6\0\0\0")),
    "a float": tiff(entry(TIFF_FLOAT, 1, struct.pack("<f", 6.0))),
    "a fraction": tiff(entry(TIFF_RATIONAL, 1, AT_26), tail=struct.pack("<II", 12, 2)),
    "a fraction of nothing": tiff(entry(TIFF_RATIONAL, 1, AT_26), tail=struct.pack("<II", 6, 0)),
    "none of them": tiff(entry(count=0)),
    "none, and then one": tiff(entry(count=0), entry()),
    "two values": tiff(entry(count=2, value=b"\6\0\3\0")),
    "three, which stand elsewhere": tiff(entry(count=3, value=AT_26), tail=b"\x08\0\1\0\1\0"),
    "three, which would stand outside": tiff(entry(count=3, value=b"\6\0\0\0")),
    "a hundred thousand": tiff(entry(count=100_000)),
    "two entries": tiff(entry(value=b"\3\0\0\0"), entry()),
    "nine": tiff(entry(value=b"\x09\0\0\0")),
    "nothing": tiff(entry(value=bytes(4))),
    "an unknown type": tiff(entry(99)),
    "a wrong magic number": tiff(entry(), magic=b"II\0*"),
    "an unknown magic number": tiff(entry(), magic=b"II+*"),
    "another entry": tiff((0x010F, TIFF_SHORT, 1, b"\6\0\0\0")),
    "an entry that reaches outside, and then one": tiff((0x010F, TIFF_SHORT, 9, b"\xff\0\0\0"), entry()),
    "cut off": tiff(entry())[:-9],
    "empty": b"",
}
PACKET = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description %b/></x:xmpmeta>'
XMPS = {
    "as an attribute": PACKET % b'tiff:Orientation="6"',
    "as an element": PACKET % b"><tiff:Orientation>8</tiff:Orientation><x",
    "out of range": PACKET % b'tiff:Orientation="9"',
    "none": PACKET % b"",
}
BOTH = {"EXIF and XMP": (tiff(entry(value=b"\3\0\0\0")), XMPS["as an attribute"])}
BOTH |= {f"EXIF with {name}": (exif, b"") for name, exif in EXIFS.items()}
BOTH |= {f"EXIF with {name}, and XMP": (exif, XMPS["as an element"]) for name, exif in EXIFS.items()}
BOTH |= {f"XMP, {name}": (b"", xmp) for name, xmp in XMPS.items()}


def raw_profile(exif: bytes) -> bytes:
    """As ImageMagick writes it."""
    body = b"Exif\0\0" + exif
    return b"\nexif\n%8d\n%b\n" % (len(body), body.hex().encode())


def itxt(key: bytes, text: bytes, *, packed: bool) -> bytes:
    body = zlib.compress(text) if packed else text
    return pictures.png_chunk(b"iTXt", key + b"\0" + bytes([packed, 0]) + b"en\0\0" + body)


def turned(exif: bytes, xmp: bytes) -> Iterator[tuple[str, bytes]]:
    """The same metadata in every format and form that carries it."""
    segment, chunk = pictures.jpeg_segment, pictures.png_chunk
    app1 = [segment(0xE1, b"Exif\0\0" + exif)] if exif else []
    app1 += [segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)] if xmp else []
    yield "JPEG", pictures.with_jpeg_segments(OPAQUE["JPEG"], *app1)
    if len(exif) > 9:
        parts = [segment(0xE1, b"Exif\0\0" + part) for part in (exif[:9], exif[9:])]
        yield "JPEG in two parts", pictures.with_jpeg_segments(OPAQUE["JPEG"], *parts)
    for packed in (False, True):
        texts = [itxt(b"XML:com.adobe.xmp", xmp, packed=packed)] if xmp else []
        yield "PNG", pictures.with_png_chunks(OPAQUE["PNG"], *([chunk(b"eXIf", exif)] if exif else []), *texts)
        raw = b"Raw profile type exif\0"
        profile = chunk(b"zTXt", raw + b"\0" + zlib.compress(raw_profile(exif))) if packed else None
        profile = profile or chunk(b"tEXt", raw + raw_profile(exif))
        yield "PNG by ImageMagick", pictures.with_png_chunks(OPAQUE["PNG"], *([profile] if exif else []), *texts)
        behind = b"".join([*([profile] if exif else []), *texts])
        yield "PNG, behind the picture", OPAQUE["PNG"][:-12] + behind + OPAQUE["PNG"][-12:]
    given = {name: value for name, value in (("exif", exif), ("xmp", xmp)) if value}
    webp = bytearray(pictures.encoded(PHOTO, "WEBP", **given))
    yield "WebP", bytes(webp)
    if given:
        webp[20] &= ~0x0C
        yield "WebP that does not announce it", bytes(webp)


@pytest.mark.parametrize("name", BOTH)
def test_the_way_up_is_read_as_pillow_reads_it(name: str) -> None:
    for where, data in turned(*BOTH[name]):
        assert shown_by_us(data) == shown_by_pillow(data), where


def test_the_ways_up_of_this_table_differ() -> None:
    """Or the test above would compare upright pictures with upright ones."""
    exifs, xmps = BOTH["EXIF with a short"], BOTH["XMP, as an element"]
    assert [inspect(data, LIMITS).orientation for _, data in turned(*exifs)] == [6] * 9 + [1]
    assert [inspect(data, LIMITS).orientation for _, data in turned(*xmps)] == [8] * 8 + [1]
