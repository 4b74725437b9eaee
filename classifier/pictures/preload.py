"""Importing ahead, in INIT, what decoding takes: a first picture of an accepted format then imports nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OWN_HEADERS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
"""Formats whose headers are read by a module of ours."""


def preload(formats: Iterable[str]) -> None:
    """Import Pillow and the plugins of these formats. About 40 ms, which S3 takes to answer anyway."""
    from classifier.pictures import decode, render  # noqa: F401
    from classifier.pictures.headers import inspection  # noqa: F401

    for name in formats:
        if name in OWN_HEADERS:
            import_module(f"classifier.pictures.headers.{name.lower()}")
        render.import_plugin(name)
