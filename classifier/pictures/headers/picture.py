"""What a look at the header says about a picture, and the limits it is held against. Standard library only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from classifier.errors import ImageComplexityError, ImageDimensionsError, ImageError
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.settings import Settings

FUNCTION_MEMORY = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
"""Where Lambda says how many megabytes the function has."""


HEIF = "HEIF"


def _check_heif() -> None:
    from importlib.util import find_spec

    from classifier.settings import SettingsError

    if find_spec("pillow_heif") is None:
        raise SettingsError("IMAGE_FORMATS names HEIF: expected pillow-heif in requirements.in, it is not installed")


class ImageLimits(Record, kw_only=True):
    """What one picture may cost. Sizes are bytes, areas are pixels, times are seconds.

    `max_side` keeps a thin strip from costing gigabytes of resampling weights; it is the largest side a JPEG can have.
    A scan is one pass over the whole picture, so scans are limited both by number and by scans x pixels.
    """

    formats: tuple[str, ...] = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
    max_bytes: int = 10_000_000
    max_jpeg_pixels: int = 50_000_000
    max_pixels: int = 25_000_000
    max_side: int = 65_535
    max_scans: int = 100
    max_scan_pixels: int = 1_000_000_000
    max_blocks: int = 50_000
    max_metadata_blocks: int = 1_000
    max_metadata_bytes: int = 4_000_000
    decode_timeout_s: float = 5.0
    function_memory_bytes: int = 0
    """Memory of the whole function; 0 when it is not known."""

    @classmethod
    def from_settings(cls, settings: Settings, environ: Mapping[str, str] | None = None) -> Self:
        """Take the limits from the settings, and the function's memory from what Lambda puts into `environ`.

        SettingsError for a format whose decoder is not installed: at the start, not at a caller's.
        """
        if HEIF in settings.image_formats:
            _check_heif()
        megabytes = (environ or {}).get(FUNCTION_MEMORY, "")
        return cls(
            formats=settings.image_formats,
            max_bytes=settings.max_image_bytes,
            max_jpeg_pixels=settings.max_jpeg_pixels,
            max_pixels=settings.max_image_pixels,
            decode_timeout_s=settings.decode_timeout_s,
            function_memory_bytes=int(megabytes) << 20 if megabytes.isdecimal() else 0,
        )

    def check_size(self, image_format: str, width: int, height: int) -> None:
        """Raise ImageError for an empty picture, ImageDimensionsError for too long a side or too many pixels."""
        if width < 1 or height < 1:
            raise ImageError(f"a {image_format} of {width}x{height}")
        most = self.max_jpeg_pixels if image_format == "JPEG" else self.max_pixels
        pixels, side = width * height, max(width, height)
        if side > self.max_side or pixels > most:
            limit = f"{_millions(most)} are accepted" if pixels > most else f"{self.max_side} a side are accepted"
            raise ImageDimensionsError(
                f"a {image_format} of {width}x{height} with limits of {most} pixels and {self.max_side} a side",
                public=f"The picture has {_millions(pixels)} pixels ({width} x {height}), at most {limit}.",
            )

    def check_scans(self, scans: int, pixels: int) -> None:
        """Raise ImageComplexityError when a JPEG passes over itself too often."""
        if scans > self.max_scans or (scans > 1 and scans * pixels > self.max_scan_pixels):
            raise ImageComplexityError(f"a JPEG of {pixels} pixels with {scans} scans")


def _millions(pixels: int) -> str:
    shown = f"{round(pixels / 1e6, 3):,}".removesuffix(".0")
    return f"{shown} million" if pixels >= 1_000_000 else str(pixels)


class Picture(Record):
    """A picture that passed the checks: its format, size as stored, and the bytes worth decoding.

    `data` has lost what can't change a pixel (comments, profiles, thumbnails, later frames), so no decoder can be kept
    busy with it. `orientation` is EXIF's, 1 to 8. Width and height are 0 where only the decoder can tell them.
    """

    format: str
    width: int
    height: int
    data: bytes
    orientation: int = 1
    scans: int = 1
    coefficient_bytes: int = 0
    """What libjpeg keeps of the whole picture when it comes in several scans."""
    slow: bool = False
    """Decoded by Python or by a library without bounds of its own: only ever in a process that can be stopped."""
    whole: bool = True
    """Whether the file's end mark was found. Where it wasn't, only decoding tells whether pixels are missing."""

    @property
    def pixels(self) -> int:
        return self.width * self.height


class Tally:
    """Counts the blocks of one file while it is walked, so that no flood of them is walked to its end."""

    def __init__(self, limits: ImageLimits) -> None:
        self.limits = limits
        self.blocks = self.metadata_blocks = self.metadata_bytes = 0

    def block(self) -> None:
        """Count a block of picture data; ImageComplexityError when there are too many."""
        self.blocks += 1
        if self.blocks > self.limits.max_blocks:
            raise ImageComplexityError(f"more than {self.limits.max_blocks} blocks")

    def metadata(self, size: int) -> None:
        """Count a block of metadata of `size` bytes; ImageComplexityError when there are too many or too large ones."""
        self.metadata_blocks += 1
        self.metadata_bytes += size
        if self.metadata_blocks > self.limits.max_metadata_blocks:
            raise ImageComplexityError(f"more than {self.limits.max_metadata_blocks} blocks of metadata")
        if self.metadata_bytes > self.limits.max_metadata_bytes:
            raise ImageComplexityError(f"more than {self.limits.max_metadata_bytes} bytes of metadata")
