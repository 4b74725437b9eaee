"""What INIT does ahead for pictures: a first one of an accepted format then imports nothing, and meets no cold code."""

from __future__ import annotations

import base64
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

OWN_HEADERS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
"""Formats whose headers are read by a module of ours."""
LATER = ("PIL.ExifTags", "PIL.TiffTags", "subprocess")
"""What Pillow imports for what we never ask of it, a fourteenth of INIT: enums of tags, and a process for `djpeg`."""
SAMPLE_FORMAT = "JPEG"
SAMPLE = base64.b64decode(
    b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8ybqm"
    b"x5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/wAARCAAQABAD"
    b"ASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAL/xAAaEAABBQEAAAAAAAAAAAAAAAABAAIDBAUh/8QAFAEBAAAAAAAAAAAAAAAAAAAAAP/E"
    b"ABQRAQAAAAAAAAAAAAAAAAAAAAD/2gAMAwEAAhEDEQA/AL0Lxjcepn3jI4dTQomRx4mfRMbhxB//2Q=="
)
"""A picture of 16 x 16 pixels."""


def preload(formats: Iterable[str]) -> None:
    """Import Pillow and the plugins of these formats. About 40 ms, which S3 takes to answer anyway."""
    for name in LATER:
        _leave_for_later(name)
    from classifier.pictures import decode, render  # noqa: F401
    from classifier.pictures.headers import inspection  # noqa: F401

    for name in formats:
        if name in OWN_HEADERS:
            import_module(f"classifier.pictures.headers.{name.lower()}")
        render.import_plugin(name)


def _leave_for_later(name: str) -> None:
    """Put a module in this one's place that imports it when anything of it is asked for (PEP 562).

    Not importlib's LazyLoader: to be imported by a second module counts as being asked for there.
    """
    if name in sys.modules:
        return
    stand_in = sys.modules[name] = ModuleType(name)

    def ask(attribute: str) -> Any:  # noqa: ANN401 - whatever the module has
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(import_module(name), attribute)

    stand_in.__getattr__ = ask  # type: ignore[method-assign]
