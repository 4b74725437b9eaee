"""What a picture's header says, read without Pillow: its format, size and cost, and whether it may be decoded at all.

Everything that can be refused is refused here, before numpy or Pillow is imported.
"""

from __future__ import annotations

import struct

from classifier.errors import ImageError, ImageFormatError, ImageTooLargeError
from classifier.pictures.headers import bmp
from classifier.pictures.headers.picture import ImageLimits, Picture

__all__ = ["ImageLimits", "Picture", "inspect", "sniff"]

_DIB_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JPEG2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
_TGA_FOOTER = b"TRUEVISION-XFILE.\0"


def sniff(data: bytes) -> str | None:
    """Return the name of the format that the bytes begin like, or None; the names are those of `settings.FORMATS`.

    TGA alone has its signature at the end. Files without it (TGA 1), and bitmaps without a file's header (DIB), begin
    with numbers only: they are recognised if all of these make sense.
    """
    head = data[:32]
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if (head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _DIB_HEADERS) or bmp.is_bare(head):
        return "BMP"
    return _sniff_rarer(head, data)


def _sniff_rarer(head: bytes, data: bytes) -> str | None:
    if head.startswith(_TIFF):
        return "TIFF"
    if head[4:8] == b"ftyp":
        brands = data[8 : min(int.from_bytes(head[:4]), 256)]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        return "HEIF" if any(brand in brands for brand in _HEIF) else None
    if head.startswith(_JPEG2000):
        return "JPEG2000"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PPM"
    if head.startswith(b"\0\0\x01\0") and head[5:6] == b"\0" and head[4:5] != b"\0":
        return "ICO"
    return "TGA" if data.endswith(_TGA_FOOTER) or _is_tga(head) else None


def _is_tga(head: bytes) -> bool:
    """Whether the 18 bytes are a TGA's header: kinds that Pillow reads, a size, a depth."""
    if len(head) < 18 or head[1] not in (0, 1) or head[2] not in (1, 2, 3, 9, 10, 11):
        return False
    width, height = struct.unpack_from("<HH", head, 12)
    return width > 0 and height > 0 and head[16] in (1, 8, 16, 24, 32)


def inspect(data: bytes, limits: ImageLimits) -> Picture:
    """Read the header and hold it against the limits.

    Raises ImageTooLargeError (413), ImageFormatError (415: no picture, or a format that is not allowed),
    ImageDimensionsError and ImageComplexityError (422), and ImageError (422) for what is visibly broken or cut off.
    """
    if len(data) > limits.max_bytes:
        raise ImageTooLargeError(f"{len(data)} bytes, at most {limits.max_bytes}")
    name = sniff(data)
    if name not in limits.formats:
        raise _refusal(name, data, limits)
    try:
        return _read(str(name), data, limits)
    except (struct.error, IndexError) as error:
        raise ImageError(f"the {name} header is cut off: {error}") from error


def _refusal(name: str | None, data: bytes, limits: ImageLimits) -> ImageFormatError:
    """The error for what is not accepted, which says what it is and what can be done."""
    from classifier.pictures.headers import others

    accepted = f"Accepted are {', '.join(limits.formats)}."
    foreign = others.named(data) if name in (None, "HEIF") else None
    found = foreign or (name and (f"a{'n' if name[0] in 'AI' else ''} {name} picture", ""))
    if not found:
        text = f"This is not a picture in an accepted format. {accepted}"
        return ImageFormatError(f"no known format: {data[:16].hex()}", public=text)
    what, advice = found
    return ImageFormatError(f"it is {what}", public=f"This is {what}{advice and ': '}{advice}. {accepted}")


def _read(name: str, data: bytes, limits: ImageLimits) -> Picture:
    match name:
        case "JPEG":
            from classifier.pictures.headers.jpeg import read
        case "PNG":
            from classifier.pictures.headers.png import read
        case "GIF":
            from classifier.pictures.headers.gif import read
        case "WEBP":
            from classifier.pictures.headers.webp import read
        case "BMP":
            from classifier.pictures.headers.bmp import read
        case _:
            return Picture(name, 0, 0, data, slow=True)
    return read(data, limits)
