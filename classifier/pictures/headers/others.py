"""What people send that is no picture we read: its name and what to do, for the refusal's text. Pure."""

from __future__ import annotations

import re

_AS_JPEG = "save or export it as JPEG or PNG"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_VIDEO_BRANDS = (b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"qt  ", b"M4V ", b"dash", b"3gp")
_MARKUP = re.compile(
    rb"\s*+(?>(?:<\?xml[^>]*+>|<!--.*?-->|<!DOCTYPE\s++(?!html)[^>]*+>)\s*+)*+<(!DOCTYPE html|[a-z]+)", re.I | re.S
)
"""Nothing in it is tried in a second way: a row of comments would otherwise cost seconds."""
_HTML = (b"!doctype html", b"html", b"head", b"body", b"script", b"title", b"meta", b"div", b"p", b"h1")

_STARTS = (
    (b"\xff\x0a", "a JPEG XL picture", _AS_JPEG),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture", _AS_JPEG),
    (b"8BPS", "a Photoshop document (PSD)", _AS_JPEG),
    (b"gimp xcf", "a GIMP document (XCF)", _AS_JPEG),
    (b"%PDF-", "a PDF document", "send its pages as pictures"),
    (b"%!PS", "a PostScript document", _AS_JPEG),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document", _AS_JPEG),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile", _AS_JPEG),
    (b"FUJIFILMCCD-RAW", "a camera's raw picture", _AS_JPEG),
    (b"\x1aE\xdf\xa3", "a video", "send one of its frames as a picture"),
    (b"PK\x03\x04", "a ZIP archive", "send the picture that is in it"),
    (b"\x1f\x8b", "a gzip file", "send the picture that is in it"),
)


def named(data: bytes) -> tuple[str, str] | None:
    """Return what the bytes are, as a noun with its article, and what can be done; None if they begin like nothing."""
    for start, name, advice in _STARTS:
        if data.startswith(start):
            return name, advice
    if data[4:8] == b"ftyp":
        return _box(data[8 : min(int.from_bytes(data[:4]), 256)])
    return _markup(data)


def _box(brands: bytes) -> tuple[str, str] | None:
    found = {brands[place : place + 4] for place in (0, *range(8, len(brands), 4))}
    if any(brand in found for brand in _HEIF_BRANDS):
        return (
            "a HEIC picture, as iPhones take them",
            "share it as JPEG (in the phone's settings: Camera, Formats, Most Compatible)",
        )
    if any(brand.startswith(known) for brand in found for known in _VIDEO_BRANDS):
        return "a video", "send one of its frames as a picture"
    return None


def _markup(data: bytes) -> tuple[str, str] | None:
    found = _MARKUP.match(data[:4096].removeprefix(b"\xef\xbb\xbf"))
    if not found:
        return None
    tag = found[1].lower()
    if tag == b"svg":
        return "an SVG drawing", _AS_JPEG
    if tag in _HTML:
        return (
            "a web page, not a picture",
            "upload the picture's file, or give its own address (in a browser: right-click it, Copy Image Address)",
        )
    return None
