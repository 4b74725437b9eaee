"""What TensorFlow's and OpenCV's decoders make of a file that Pillow opens: transparency, 16 bits, CMYK, gray.

TensorFlow: jpeg_mem.cc, png_io.cc, gif_io.cc; OpenCV: the readers of imgcodecs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.pictures.colors import eight_bits
from classifier.pictures.pipelines.floats import combined
from classifier.pictures.pipelines.samples import FastJpeg, Plain, Samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image


_LIBPNG_GRAY = (9797 / 32768, 19234 / 32768, 3737 / 32768, -0.5)
"""png_set_rgb_to_gray of libpng, which both use: truncated, where Pillow adds a half."""


def ask_libjpeg(image: Any, pixels: str, color: str) -> None:  # noqa: ANN401  (Pillow's plugin class)
    """Before loading a JPEG: let libjpeg decode as TensorFlow or OpenCV asks it to, as far as Pillow offers that.

    Gray is the luma, for both. TensorFlow asks for the fast DCT, which Pillow gives only together with replicated
    chroma: where that can't be undone, and for what is decoded at a part of its size, the DCT is the accurate one.
    """
    if image.decoderconfig or color == "rgba":
        return
    if color == "grayscale" and (image.mode == "L" or _is_ycbcr(image)):
        image.draft("L", image.size)
    elif pixels == "tensorflow" and _is_ycbcr(image) and _chroma_factors(image):
        image.draft("YCbCr", image.size)
    elif any(layer[1:3] != image.layer[0][1:3] for layer in image.layer):
        return
    if pixels == "tensorflow":
        image.decoderconfig = (1, 1)


def tensorflow_samples(image: Image, color: str, upright: Callable[[Image], Image]) -> Samples:
    """The samples of a loaded picture as `tf.io.decode_image` gives them with that many channels, turned upright."""
    if image.mode == "YCbCr" and image.format == "JPEG":
        across, down = _chroma_factors(image) or (1, 1)
        jpeg = FastJpeg(image, across, down)
        return jpeg if upright(image) is image else Plain(upright(jpeg.whole()))
    if image.mode == "CMYK":
        image = _multiplied(image, _truncated)
    elif image.format == "GIF" and color != "rgba":
        image = _over(image, (0, 0, 0))
    return Plain(upright(opaque(image, color)))


def opencv_image(image: Image, color: str) -> Image:
    """A loaded picture as `cv2.imread` gives it, in the order red, green, blue."""
    if image.mode == "CMYK":
        image = _multiplied(image, _shifted)
    elif image.format == "GIF" and image.mode == "P" and color != "rgba":
        first = 3 * int(image.info.get("background", 0))
        image = _over(image, tuple((image.getpalette() or [0, 0, 0])[first : first + 3]))
    return opaque(image, color)


def opaque(image: Image, color: str) -> Image:
    """RGB or L of 8 bits; transparency is dropped, whatever colour is below it. RGBA keeps it."""
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        image = eight_bits(image)
    if color == "grayscale" and image.mode not in {"1", "L", "LA"}:
        return image.convert("RGB").convert("L", _LIBPNG_GRAY)
    return image.convert({"grayscale": "L", "rgba": "RGBA"}.get(color, "RGB"))


def _is_ycbcr(image: Any) -> bool:  # noqa: ANN401  (Pillow's plugin class)
    """Whether libjpeg takes three components for YCbCr (default_decompress_parms of jdapimin.c)."""
    if image.mode != "RGB":
        return False
    if "jfif" in image.info:
        return True
    if "adobe" in image.info:
        return bool(image.info.get("adobe_transform", 1) != 0)
    return [layer[0] for layer in image.layer] != [ord(letter) for letter in "RGB"]


def _chroma_factors(image: Any) -> tuple[int, int] | None:  # noqa: ANN401  (Pillow's plugin class)
    """How many times smaller both chroma planes are, if both are alike and divide the luma evenly."""
    (_, across, down, *_), blue, red = image.layer
    if blue[1:3] != red[1:3] or across % blue[1] or down % blue[2]:
        return None
    return across // blue[1], down // blue[2]


def _multiplied(image: Image, operation: Callable[[dict[str, Any]], Any]) -> Image:
    """CMYK to RGB: white less ink times white less black."""
    from PIL import Image as Pillow

    *inks, black = [plane.convert("F") for plane in image.split()]
    return Pillow.merge("RGB", [combined(operation, ink=ink, black=black).convert("L") for ink in inks])


def _truncated(v: dict[str, Any]) -> Any:  # noqa: ANN401  (an operand of ImageMath)
    """jpeg_mem.cc: the product over 255."""
    return (255.0 - v["ink"]) * (255.0 - v["black"]) / 255.0


def _shifted(v: dict[str, Any]) -> Any:  # noqa: ANN401  (an operand of ImageMath)
    """icvCvt_CMYK2BGR of OpenCV: the paper less ink times paper over 256."""
    paper = v["int"](255.0 - v["black"])
    return paper - ((v["int"](v["ink"]) * paper) >> 8)


def _over(image: Image, color: tuple[int, ...]) -> Image:
    """A GIF's transparent places in the colour that its reader begins with: black, or the background's."""
    from PIL import Image as Pillow

    layer = image.convert("RGBA")
    canvas = Pillow.new("RGB", layer.size, color)
    canvas.paste(layer, mask=layer)
    return canvas
