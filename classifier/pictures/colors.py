"""Any of Pillow's modes to 8 bits of RGB, gray or RGBA, as the product shows pictures: transparency over white."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image


def converted(image: Image, mode: str) -> Image:
    """Convert to RGB or L of 8 bits, transparency over white; or to RGBA, which keeps it."""
    transparent = image.has_transparency_data
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        image = eight_bits(image)
    if transparent and mode != "RGBA":
        image = _over_white(image)
    return image if image.mode == mode else image.convert(mode)


def _over_white(image: Image) -> Image:
    from PIL import Image as Pillow

    layer = image if image.mode == "RGBA" else image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return layer.convert("RGB")
    canvas = Pillow.new("RGB", layer.size, "white")
    canvas.paste(layer, mask=layer)
    return canvas


def eight_bits(image: Image) -> Image:
    """Scale 16 bits to 8 by keeping the high byte, as Pillow does for colour; `convert` would clip to white instead.

    Floating-point pixels (TIFF) are taken for 0 to 1 if none is larger, else for 0 to 255. The one transparent gray
    of a 16-bit PNG, of which all 16 bits are compared, becomes a channel of its own (LA).
    """
    from PIL import Image as Pillow

    if image.mode == "F":
        extrema: Any = image.getextrema()
        return (image.point(lambda value: value * 255.0) if extrema[1] <= 1.0 else image).convert("L")
    if image.has_transparency_data:
        clear, wide = image.info["transparency"], image.convert("I")
        planes = [value >> 8 for value in range(65536)], [0 if value == clear else 255 for value in range(65536)]
        return Pillow.merge("LA", [wide.point(plane, "L") for plane in planes])
    if image.mode == "I":
        return image.point([value >> 8 for value in range(65536)], "L")
    high_byte = image.tobytes()[0 if image.mode == "I;16B" else 1 :: 2]
    return Pillow.frombytes("L", image.size, high_byte)
