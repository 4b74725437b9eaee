"""Which way a checked picture is decoded: here, in a process apart, or not at all, by what its header says it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier import function_memory
from classifier.errors import ImageDimensionsError
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.render import large_scale, render

if TYPE_CHECKING:
    from classifier.pictures.headers.picture import ImageLimits, Picture
    from classifier.pictures.preprocessing import Preprocessing
    from classifier.pictures.render import DecodedImage

_COSTS = {"JPEG": (30, 8), "PNG": (80, 13), "GIF": (50, 10), "WEBP": (130, 21), "BMP": (40, 9)}
"""Most nanoseconds and bytes a pixel, on one core of a 2.5 GHz Xeon, rounded up: docs/internals/pictures.md."""
_SCAN_NS = 1.5
FULL_CORE_BYTES = 1769 << 20
"""Memory with which Lambda gives a function one core ("Configure Lambda function memory")."""
_ALPHA_BYTES = 4
"""More a pixel for RGBA, which is made beside what was decoded."""
_IN_PROCESS_S = 1.0
_IN_PROCESS_BYTES = 300_000_000


def admit(data: bytes, limits: ImageLimits, deadline: float | None = None) -> Picture:
    """Inspect a picture, and decode one that ends too early: no model should be loaded for one that is broken.

    Raises what `inspect` and `decode` raise.
    """
    picture = inspect(data, limits)
    prove(picture, limits, deadline)
    return picture


def prove(picture: Picture, limits: ImageLimits, deadline: float | None = None) -> None:
    """Decode a picture whose file ends too early, for nothing but the error if it is broken; others are not touched."""
    if not picture.whole:
        from classifier.pictures.preprocessing import Preprocessing

        decode(picture, Preprocessing(size=(1, 1)), limits, deadline)


def price_s(picture: Picture, limits: ImageLimits) -> float:
    """Return the seconds that decoding may take, from the header: what a caller of several is charged beforehand."""
    share = min(1.0, limits.function_memory_bytes / FULL_CORE_BYTES) if limits.function_memory_bytes else 1.0
    longest = limits.decode_timeout_s
    return longest if picture.slow else min(longest, _estimate(picture)[0] / share)


def decode(
    picture: Picture, spec: Preprocessing, limits: ImageLimits, deadline: float | None = None, *, show: bool = False
) -> DecodedImage:
    """Decode, turn upright, put on white, convert and resize to `spec.size`: height x width x channels bytes.

    With `show` also the picture for people, of the same decoding, where that is done here and as Keras does it.
    Raises ImageError (422) for a broken picture, ImageDimensionsError when the memory for it is missing, and
    ImageTimeoutError when it takes longer than `limits.decode_timeout_s`; OutOfTimeError (503) when what may take long
    is not done by the request's own `deadline` (time.monotonic()).
    """
    seconds, memory = _estimate(picture)
    memory += picture.pixels * _ALPHA_BYTES if spec.color == "rgba" else 0
    nanoseconds, size = _resize_costs(spec, picture)
    between = spec.size[0] * max(spec.size[1], picture.width if picture.orientation < 5 else picture.height)
    decoded = max(picture.pixels // large_scale(picture) ** 2, between)
    seconds, memory = seconds + decoded * nanoseconds / 1e9, memory + decoded * size
    left = function_memory.left(limits.function_memory_bytes)
    if left is not None and memory > left:
        raise ImageDimensionsError(f"{picture} takes {memory} bytes to decode, {left} are left")
    if picture.slow or seconds > _IN_PROCESS_S or memory > _IN_PROCESS_BYTES:
        from classifier.pictures.apart import decode_apart

        return decode_apart(picture, spec, limits, deadline)
    return render(picture, spec, limits, show=show)


def _resize_costs(spec: Preprocessing, picture: Picture) -> tuple[int, int]:
    """Most nanoseconds and bytes a pixel for the resizes of TensorFlow and OpenCV that read every pixel.

    Of the picture, or of what is between its two resizes: as tall as the model's input, and still as wide.
    """
    if (spec.pixels == "keras" and not spec.own) or spec.filter in {"nearest", "linear"}:
        return 0, 0
    if spec.antialias:
        halved = min(picture.width, picture.height) >= 2 * max(spec.size)  # or larger: made by Pillow in one go
        return (150 if halved and spec.filter in {"bilinear", "bicubic", "lanczos3"} else 600, 8)
    return (0, 0) if spec.filter == "bilinear" else (150, 8)


def _estimate(picture: Picture) -> tuple[float, int]:
    """Return seconds and bytes that the picture may cost, from its header."""
    nanoseconds, size = _COSTS.get(picture.format, (0, 0))
    seconds = picture.pixels * (nanoseconds + (picture.scans - 1) * _SCAN_NS) / 1e9
    decoded = picture.pixels // large_scale(picture) ** 2 * size
    return seconds, decoded + picture.coefficient_bytes + len(picture.data)
