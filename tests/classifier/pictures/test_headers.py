"""What is refused from the header alone, and what is not."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile
from copy import replace
from pathlib import Path

import pytest
from PIL import Image

from classifier.errors import (
    ImageComplexityError,
    ImageDimensionsError,
    ImageError,
    ImageFormatError,
    ImageTooLargeError,
)
from classifier.pictures.headers.inspection import inspect, sniff
from classifier.pictures.headers.picture import ImageLimits
from classifier.settings import FORMATS, Settings, SettingsError
from local.launch import PROJECT
from tests.support import pictures

LIMITS = ImageLimits()
PLAIN = {name: pictures.encoded(pictures.photo(), name) for name in ("JPEG", "PNG", "GIF", "WEBP", "BMP")}
PIXELS = 61 * 47


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("TGA", "HEIF")])
def test_every_format_is_recognised_by_its_first_bytes(name: str) -> None:
    assert sniff(pictures.encoded(pictures.photo(), name)) == name


def test_tga_is_recognised_by_its_footer() -> None:
    assert sniff(pictures.encoded(pictures.photo(), "TGA")) == "TGA"


@pytest.mark.parametrize("name", PLAIN)
def test_size_is_read_from_the_header(name: str) -> None:
    picture = inspect(PLAIN[name], LIMITS)
    assert (picture.format, picture.width, picture.height) == (name, 61, 47)


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"save_all": True, "append_images": [pictures.photo(mode="L")]}]
)
def test_size_is_read_from_every_kind_of_webp(options: dict[str, object]) -> None:
    picture = inspect(pictures.encoded(pictures.photo(), "WEBP", **options), LIMITS)
    assert (picture.width, picture.height) == (61, 47)


NOT_PICTURES = {
    "nothing": b"",
    "text": b"hello",
    "text that begins like a BMP": b"BMW is a maker of cars, and this is a sentence.",
    "HTML": b"<!doctype html><html><img src=x></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>',
    "PDF": b"%PDF-1.7\n",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "binary EPS": b"\xc5\xd0\xd3\xc6" + bytes(60),
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(60),
    "EMF": struct.pack("<II", 1, 88) + bytes(32) + b" EMF" + bytes(44),
    "PSD": b"8BPS\x00\x01" + bytes(60),
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "ZIP": b"PK\x03\x04" + bytes(60),
    "three bytes of a PNG": b"\x89PN",
}


@pytest.mark.parametrize("name", NOT_PICTURES)
def test_what_is_no_picture_is_refused(name: str) -> None:
    with pytest.raises(ImageFormatError):
        inspect(NOT_PICTURES[name], LIMITS)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in (*LIMITS.formats, "HEIF")])
def test_format_that_is_not_allowed_is_refused_and_the_accepted_are_named(name: str) -> None:
    data = pictures.encoded(pictures.photo(), name)
    with pytest.raises(ImageFormatError) as caught:
        inspect(data, LIMITS)
    assert "JPEG, PNG, GIF, WEBP, BMP" in caught.value.public
    assert inspect(data, replace(LIMITS, formats=(name,))).format == name


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("tenths", range(1, 10))
def test_picture_cut_off_is_refused_or_left_to_the_decoder_but_never_an_accident(name: str, tenths: int) -> None:
    data = PLAIN[name]
    try:
        picture = inspect(data[: len(data) * tenths // 10], LIMITS)
    except ImageError:
        return
    assert name == "BMP" or not picture.whole  # the only one whose header does not tell where the picture ends


@pytest.mark.parametrize("name", PLAIN)
def test_header_cut_anywhere_is_an_image_error(name: str) -> None:
    for size in range(64):
        try:
            picture = inspect(PLAIN[name][:size], LIMITS)
        except ImageError:
            continue
        assert name == "BMP" or not picture.whole


@pytest.mark.parametrize("name", PLAIN)
def test_limits_of_pixels_sides_and_bytes_hold_to_the_unit(name: str) -> None:
    data = PLAIN[name]
    exact = replace(LIMITS, max_jpeg_pixels=PIXELS, max_pixels=PIXELS, max_side=61, max_bytes=len(data))
    assert inspect(data, exact).pixels == PIXELS
    for less in (replace(exact, max_jpeg_pixels=PIXELS - 1, max_pixels=PIXELS - 1), replace(exact, max_side=60)):
        with pytest.raises(ImageDimensionsError):
            inspect(data, less)
    with pytest.raises(ImageTooLargeError):
        inspect(data, replace(exact, max_bytes=len(data) - 1))


def test_jpeg_and_other_formats_have_pixel_limits_of_their_own() -> None:
    jpegs_only = replace(LIMITS, max_pixels=1)
    assert inspect(PLAIN["JPEG"], jpegs_only).pixels == PIXELS
    with pytest.raises(ImageDimensionsError):
        inspect(PLAIN["PNG"], jpegs_only)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ((6000, 6000), "36 million pixels (6000 x 6000), at most 25 million are accepted."),
        ((5001, 5000), "25.005 million pixels (5001 x 5000), at most 25 million are accepted."),
        ((1, 65_536), "65536 pixels (1 x 65536), at most 65535 a side are accepted."),
        ((2**31 - 1, 2**31 - 1), "million pixels (2147483647 x 2147483647), at most 25 million are accepted."),
    ],
)
def test_bomb_is_refused(size: tuple[int, int], says: str) -> None:
    with pytest.raises(ImageDimensionsError) as caught:
        inspect(pictures.bomb_png(*size), LIMITS)
    assert caught.value.public.endswith(says)


def test_gif_frame_that_enlarges_the_screen_counts() -> None:
    data = bytearray(PLAIN["GIF"])
    frame = data.index(b"\x2c", 13 + 768)
    struct.pack_into("<HH", data, frame + 5, 60_000, 60_000)
    with pytest.raises(ImageDimensionsError):
        inspect(bytes(data), LIMITS)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP"])
def test_empty_picture_is_broken(name: str) -> None:
    data = bytearray(PLAIN[name])
    place = {"JPEG": data.find(b"\xff\xc0") + 5, "PNG": 16, "GIF": 6, "BMP": 18}[name]
    data[place : place + 4] = bytes(4)
    if name == "GIF":
        frame = data.index(b"\x2c", 13 + 768)
        data[frame + 5 : frame + 9] = bytes(4)
    with pytest.raises(ImageError) as caught:
        inspect(bytes(data), LIMITS)
    assert caught.value.code == "invalid_image"


def test_scans_are_counted_and_limited() -> None:
    assert inspect(pictures.many_scans(pictures.photo(), 100), LIMITS).scans == 100
    with pytest.raises(ImageComplexityError):
        inspect(pictures.many_scans(pictures.photo(), 101), LIMITS)


def test_scans_are_limited_by_pixels_too() -> None:
    limits = replace(LIMITS, max_scan_pixels=20 * PIXELS)
    assert inspect(pictures.many_scans(pictures.photo(), 20), limits).scans == 20
    with pytest.raises(ImageComplexityError):
        inspect(pictures.many_scans(pictures.photo(), 21), limits)


@pytest.mark.parametrize(("place", "value"), [(1, 0xC3), (1, 0xC7), (4, 12), (9, 2)])
def test_jpeg_of_a_kind_that_is_not_decoded_is_refused(place: int, value: int) -> None:
    """Lossless, hierarchical, 12 bits, two components."""
    data = bytearray(PLAIN["JPEG"])
    data[data.index(b"\xff\xc0") + place] = value
    with pytest.raises(ImageFormatError):
        inspect(bytes(data), LIMITS)


FLOODS = {
    "JPEG comments": pictures.with_jpeg_segments(PLAIN["JPEG"], *[pictures.jpeg_segment(0xFE, b"")] * 1001),
    "JPEG profiles": pictures.with_jpeg_segments(PLAIN["JPEG"], *[pictures.jpeg_segment(0xE2, bytes(65_000))] * 62),
    "JPEG tables": pictures.with_jpeg_segments(PLAIN["JPEG"], *[pictures.jpeg_segment(0xDB, b"")] * 50_001),
    "PNG texts": pictures.with_png_chunks(PLAIN["PNG"], *[pictures.png_chunk(b"tEXt", b"a\0b")] * 1001),
    "PNG profile": pictures.with_png_chunks(PLAIN["PNG"], pictures.png_chunk(b"iCCP", bytes(4_000_001))),
    "PNG data in crumbs": pictures.with_png_chunks(PLAIN["PNG"], *[pictures.png_chunk(b"IDAT", b"")] * 50_001),
    "GIF comment": PLAIN["GIF"][: 13 + 768] + b"\x21\xfe" + (b"\xff" + bytes(255)) * 16_000 + b"\0",
    "GIF extensions": PLAIN["GIF"][: 13 + 768] + b"\x21\xfe\0" * 1001,
    "GIF data in crumbs": PLAIN["GIF"][:-2] + b"\x01\0" * 50_000 + b"\0;",
}


@pytest.mark.parametrize("name", FLOODS)
def test_flood_of_metadata_is_refused(name: str) -> None:
    with pytest.raises(ImageComplexityError):
        inspect(FLOODS[name], LIMITS)


def test_flood_of_webp_chunks_is_refused() -> None:
    body = PLAIN["WEBP"][8:] + b"JUNK\0\0\0\0" * 1001
    with pytest.raises(ImageComplexityError):
        inspect(b"RIFF" + struct.pack("<I", len(body)) + body, LIMITS)


def test_what_cannot_change_a_pixel_is_cut_away() -> None:
    jpeg = pictures.encoded(pictures.photo(), "JPEG", exif=pictures.exif(1), icc_profile=bytes(9000), comment=b"hello")
    png = pictures.with_png_chunks(PLAIN["PNG"], pictures.png_chunk(b"tEXt", b"Comment\0" + bytes(9000)))
    webp = pictures.encoded(pictures.photo(), "WEBP", exif=pictures.exif(1), icc_profile=bytes(9000))
    frames = {"save_all": True, "append_images": [pictures.photo(mode="L")] * 3}
    for data in (jpeg, png, webp, pictures.encoded(pictures.photo(), "GIF", **frames)):
        picture = inspect(data, LIMITS)
        assert len(picture.data) < len(data) / 1.5
        assert (
            pictures.decoded(picture.data).convert("RGB").tobytes() == pictures.decoded(data).convert("RGB").tobytes()
        )


def test_stray_bytes_behind_the_picture_do_not_matter() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("evil.txt", "x" * 1000)
    for name in ("JPEG", "PNG", "GIF"):
        assert inspect(PLAIN[name] + archive.getvalue(), LIMITS).format == name


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read(name: str, orientation: int) -> None:
    data = pictures.encoded(pictures.photo(), name, exif=pictures.exif(orientation))
    assert inspect(data, LIMITS).orientation == orientation


@pytest.mark.parametrize(
    "damage", [b"", b"II", b"XX*\0\x08\0\0\0", b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\xff\xff"]
)
def test_broken_exif_means_upright(damage: bytes) -> None:
    data = pictures.with_jpeg_segments(PLAIN["JPEG"], pictures.jpeg_segment(0xE1, b"Exif\0\0" + damage))
    assert inspect(data, LIMITS).orientation == 1


def test_a_format_whose_decoder_is_missing_is_a_wrong_setting() -> None:
    settings = Settings.from_env({"MODEL_BUCKET": "b", "IMAGE_FORMATS": "JPEG,HEIF"})
    with pytest.raises(SettingsError, match="IMAGE_FORMATS names HEIF: expected pillow-heif"):
        ImageLimits.from_settings(settings)


def test_limits_come_from_the_settings() -> None:
    settings = Settings.from_env({"MODEL_BUCKET": "b", "MAX_JPEG_PIXELS": "7", "IMAGE_FORMATS": "png,tiff"})
    limits = ImageLimits.from_settings(settings, {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"})
    assert (limits.max_jpeg_pixels, limits.formats) == (7, ("PNG", "TIFF"))
    assert limits.function_memory_bytes == 1 << 30


def test_refusing_imports_neither_pillow_nor_numpy(tmp_path: Path) -> None:
    refused = [*NOT_PICTURES.values(), *FLOODS.values(), pictures.bomb_png(9000, 9000), PLAIN["WEBP"][:-9]]
    for number, data in enumerate(refused):
        (tmp_path / str(number)).write_bytes(data)
    program = (
        "import sys, pathlib\n"
        "from classifier import errors\n"
        "from classifier.pictures import decode, preprocessing\n"
        "from classifier.pictures.headers.inspection import inspect\n"
        "from classifier.pictures.headers.picture import ImageLimits\n"
        "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
        "    try: inspect(path.read_bytes(), ImageLimits())\n"
        "    except errors.ImageError: continue\n"
        "    raise SystemExit(f'{path} was accepted')\n"
        "print(sorted({'PIL', 'numpy', 'tensorflow', 'subprocess'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_pillow_agrees_on_what_each_test_picture_is() -> None:
    for name, data in PLAIN.items():
        assert Image.open(io.BytesIO(data)).format == name


NAMED = {
    "web page": (
        b"\n<!-- saved -->\n<!DOCTYPE html><html>",
        "This is a web page, not a picture: upload the picture's file, or give its own",
    ),
    "XML of another kind": (b"<?xml version='1.0'?><note/>", "This is not a picture in an accepted format."),
    "SVG": (b"<?xml version='1.0'?>\n<!-- a --><!DOCTYPE svg PUBLIC 'x'>\n<svg>", "This is an SVG drawing: save or"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "This is a HEIC picture, as iPhones take them: share it as JPEG"),
    "JPEG XL": (b"\xff\x0a\0\0", "This is a JPEG XL picture: save or export it"),
    "JPEG XL in a box": (b"\0\0\0\x0cJXL \r\n\x87\n", "This is a JPEG XL picture: save or export it"),
    "Photoshop": (b"8BPS\0\1", "This is a Photoshop document (PSD): save or export it"),
    "video": (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "This is a video: send one of its frames"),
    "AVIF": (b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", "This is an AVIF picture. Accepted are JPEG, PNG, GIF, WEBP, BMP."),
    "comments without end": (b"<!---->" * 580 + b"x", "This is not a picture in an accepted format."),
    "comments that end nothing": (b"<!--" * 1000, "This is not a picture in an accepted format."),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_is_not_read_is_named_with_what_to_do(name: str) -> None:
    data, says = NAMED[name]
    with pytest.raises(ImageFormatError) as caught:
        inspect(data, LIMITS)
    assert caught.value.public.startswith(says)
    assert "Accepted are JPEG, PNG, GIF, WEBP, BMP." in caught.value.public
