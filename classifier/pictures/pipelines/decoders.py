"""What TensorFlow's and OpenCV's decoders make of a file that Pillow opens: transparency, 16 bits, CMYK, gray.

TensorFlow: jpeg_mem.cc, png_io.cc, gif_io.cc; OpenCV: the readers of imgcodecs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from classifier.pictures.colors import eight_bits
from classifier.pictures.pipelines.floats import combined
from classifier.pictures.pipelines.samples import FastJpeg, Plain, Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL.Image import Image


_LIBPNG_GRAY = (9797 / 32768, 19234 / 32768, 3737 / 32768)
"""png_set_rgb_to_gray of libpng, which both use."""
_GRAYS = {
    "JPEG": (19595 / 65536, 38470 / 65536, 7471 / 65536),
    "BMP": (4899 / 16384, 9617 / 16384, 1868 / 16384),
    "GIF": (9798 / 32768, 19235 / 32768, 3735 / 32768),
    "WEBP": (9798 / 32768, 19235 / 32768, 3735 / 32768),
}
"""Rounded: libjpeg's of what is stored as RGB (jdcolor.c), OpenCV's icvCvt_BGR2Gray, and its cvtColor."""
_SRGB_GAMMA = 45455
"""What libpng takes the gamma of sRGB for, in parts of 100,000."""
_GAMMAS = range(16, 625_000_001)
"""Others are no gamma to libpng."""
_BITS = {"1": 1, "P;1": 1, "P;2": 2, "L;2": 2, "P;4": 4, "L;4": 4}
"""Bits of a PNG's samples, of those below 8, by Pillow's name for how they are stored."""
_FORMAT, _STORED = "format", "stored"


def before_loading(image: Any, pixels: str, color: str) -> None:  # noqa: ANN401  (Pillow's plugin class)
    """Ask Pillow for what TensorFlow or OpenCV make of the file, as far as it can be asked; note what it forgets."""
    image.info[_FORMAT] = image.format
    if image.format == "JPEG":
        ask_libjpeg(image, pixels, color)
    elif image.format == "PNG":
        image.info[_STORED] = image.tile[0][3]
    elif image.format == "BMP" and pixels == "tensorflow" and color != "grayscale":  # no gray is made of BMP there
        _as_stored(image)


def _as_stored(image: Any) -> None:  # noqa: ANN401  (Pillow's plugin class)
    """decode_image_op.cc knows no palettes or masks of BMP: one byte is gray, four are blue, green, red and alpha."""
    codec, box, offset, (mode, *rest) = image.tile[0]
    if codec == "raw" and mode == "P":
        image._mode, image.palette, mode = "L", None, "L"  # noqa: SLF001  (as Pillow's own draft does)
    elif codec == "raw" and len(mode) == 4:
        image._mode, mode = "RGBA", "BGRA"  # noqa: SLF001
    image.tile = [(codec, box, offset, (mode, *rest))]


def ask_libjpeg(image: Any, pixels: str, color: str) -> None:  # noqa: ANN401  (Pillow's plugin class)
    """Before loading a JPEG: let libjpeg decode as TensorFlow or OpenCV asks it to, as far as Pillow offers that.

    Gray is the luma, for both. TensorFlow asks for the fast DCT, which Pillow gives only together with replicated
    chroma: where that can't be undone, and for what is decoded at a part of its size, the DCT is the accurate one.
    """
    if image.decoderconfig or color == "rgba":
        return
    if color == "grayscale" and (image.mode == "L" or _is_ycbcr(image)):
        image.draft("L", image.size)
        if len(image.layer) > 1 and _is_reduced(image):
            return
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
    plain = opaque(image, color)
    if color == "rgba" and (bits := _BITS.get(str(image.info.get(_STORED)))) and not image.has_transparency_data:
        plain.putalpha((1 << bits) - 1)  # png_io.cc fills what it adds with the largest sample of the file
    return Plain(upright(plain))


def opencv_image(image: Image, color: str) -> Image:
    """A loaded picture as `cv2.imread` gives it, in the order red, green, blue."""
    if image.mode == "CMYK":
        image = _multiplied(image, _shifted)
        image.info[_FORMAT] = "BMP"
    elif image.format == "GIF" and color != "rgba":
        index = int(image.info.get("background", 0))
        palette = image.global_palette  # type: ignore[attr-defined]  # the frame's own is not asked; None is gray
        image = _over(image, tuple(palette.palette[3 * index :][:3]) if palette else (index,) * 3)
    return opaque(image, color)


def opaque(image: Image, color: str) -> Image:
    """RGB or L of 8 bits; transparency is dropped, whatever colour is below it. RGBA keeps it."""
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        image = eight_bits(image)
    if color == "grayscale" and image.mode not in {"1", "L", "LA"}:
        return _gray(image.convert("RGB"), image.info)
    return image.convert({"grayscale": "L", "rgba": "RGBA"}.get(color, "RGB"))


def _gray(colours: Image, info: Mapping[Any, Any]) -> Image:
    """Of a PNG png_do_rgb_to_gray: truncated, or rounded and in linear light if the file tells its gamma."""
    if (weights := _GRAYS.get(info.get(_FORMAT, ""))) is not None:
        return colours.convert("L", (*weights, 0.0))
    gamma = _SRGB_GAMMA if "srgb" in info else round(info.get("gamma", 0) * 100_000)
    inverse = _reciprocal(gamma) if gamma in _GAMMAS else 0
    if not (inverse and (_matters(gamma) or _matters(inverse))):
        return colours.convert("L", (*_LIBPNG_GRAY, -0.5))
    from PIL import Image as Pillow
    from PIL import ImageChops

    linear = colours.point(_powers(inverse) * 3).convert("L", (*_LIBPNG_GRAY, 0.0))
    red, green, blue = colours.split()
    unlike = ImageChops.lighter(ImageChops.difference(red, green), ImageChops.difference(red, blue))
    return Pillow.composite(linear.point(_powers(_reciprocal(inverse))), red, unlike.point([0, *[255] * 255]))


def _powers(gamma: int) -> list[int]:
    """png_build_8bit_table."""
    if not _matters(gamma):
        return list(range(256))
    return [math.floor(255 * (value / 255) ** (gamma * 1e-5) + 0.5) for value in range(256)]


def _matters(gamma: int) -> bool:
    """png_gamma_significant."""
    return not 95_000 <= gamma <= 105_000


def _reciprocal(gamma: int) -> int:
    """png_reciprocal."""
    return math.floor(1e10 / gamma + 0.5)


def _is_ycbcr(image: Any) -> bool:  # noqa: ANN401  (Pillow's plugin class)
    """Whether libjpeg takes three components for YCbCr (default_decompress_parms of jdapimin.c)."""
    if image.mode != "RGB":
        return False
    if "jfif" in image.info:
        return True
    if "adobe" in image.info:
        return bool(image.info.get("adobe_transform", 1) != 0)
    return [layer[0] for layer in image.layer] != [ord(letter) for letter in "RGB"]


def _is_reduced(image: Any) -> bool:  # noqa: ANN401  (Pillow's plugin class)
    """Whether luma itself is stored smaller than the picture."""
    return any(layer[place] > image.layer[0][place] for layer in image.layer for place in (1, 2))


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
    """A GIF's transparent places, and those around its frame, in the colour that its reader begins with."""
    from PIL import Image as Pillow

    frame: Any = image
    layer = frame.convert("RGBA").crop(frame.dispose_extent)
    canvas = Pillow.new("RGB", image.size, color)
    canvas.paste(layer, frame.dispose_extent, layer)
    canvas.info[_FORMAT] = image.format
    return canvas
