"""Pixels: a checked picture in, pixels of the model's size out. The only importer of Pillow.

Only the plugin of the one format is imported, and it gets a file that `headers` has cut down to what decides pixels.
"""

from __future__ import annotations

import io
import struct
import zlib
from copy import replace
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

from classifier.errors import ImageComplexityError, ImageError
from classifier.pictures.colors import converted
from classifier.records import Record

if TYPE_CHECKING:
    from PIL.Image import Image

    from classifier.pictures.headers.picture import ImageLimits, Picture
    from classifier.pictures.preprocessing import Preprocessing

_PLUGINS = {
    "JPEG": ("JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "WEBP": ("WebPImagePlugin", "WebPImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "AVIF": ("AvifImagePlugin", "AvifImageFile"),
    "JPEG2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PPM": ("PpmImagePlugin", "PpmImageFile"),
    "TGA": ("TgaImagePlugin", "TgaImageFile"),
    "ICO": ("IcoImagePlugin", "IcoImageFile"),
    "HEIF": ("pillow_heif.as_plugin", "HeifImageFile"),
}
_MODES = {"rgb": "RGB", "bgr": "RGB", "grayscale": "L", "rgba": "RGBA"}
_FULL_DECODE_PIXELS = 25_000_000
"""JPEGs above this are decoded at a half, a quarter or an eighth of their size (libjpeg's own scaling)."""
_DECODER_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, EOFError, ArithmeticError),
    *(RuntimeError, AssertionError, struct.error, zlib.error),
)
"""What Pillow's plugins have been seen to raise for broken files."""


class DecodedImage(Record):
    """Pixels of the model's size, and the picture's own format and size, upright as a viewer shows it.

    `pixels` are bytes, height x width x channels, or the model's input itself in float32 (see Preprocessing.to_array).
    `shown` is the picture for people, in RGB, if that was asked for and could be had of the same decoding.
    """

    pixels: bytes | bytearray
    format: str
    width: int
    height: int
    shown: Image | None = None


def render(picture: Picture, spec: Preprocessing, limits: ImageLimits, *, show: bool = False) -> DecodedImage:
    """Do what `decode.decode` promises in this process, whatever it costs."""
    try:
        image = _load(picture, spec, limits)
        width, height = (image.width, image.height) if not picture.width else (picture.width, picture.height)
        small = _shown(image, width, height, picture.orientation) if show and spec.pixels == "keras" else None
        pixels = _pixels(image, picture.orientation, spec)
    except MemoryError as error:
        raise ImageComplexityError(f"{picture.format} decoder: out of memory") from error
    except _DECODER_ERRORS as error:
        raise ImageError(f"{picture.format} decoder: {type(error).__name__}: {error}") from error
    if picture.orientation >= 5:
        width, height = height, width
    return DecodedImage(pixels, picture.format, width, height, small)


def _shown(image: Image, width: int, height: int, orientation: int) -> Image | None:
    from classifier.pictures.shown import shown

    small = shown(image, width, height)
    return small and _upright(small, orientation)


def _pixels(image: Image, orientation: int, spec: Preprocessing) -> bytes | bytearray:
    """The decoded picture upright, as 8 bits of the model's colours and size, or finished as floats."""
    if spec.pixels == "tensorflow":
        from classifier.pictures.pipelines import decoders, tensorflow_pixels

        samples = decoders.tensorflow_samples(image, spec.color, lambda whole: _upright(whole, orientation))
        return tensorflow_pixels.picture(samples, spec)
    image = _upright(image, orientation)
    if spec.pixels == "opencv":
        from classifier.pictures.pipelines import decoders, opencv_pixels

        image = decoders.opencv_image(image, spec.color)
        image = image if spec.own else opencv_pixels.resized(image, spec)
    elif spec.own:
        image = converted(image, _MODES[spec.color])
    else:
        image = _resized(converted(image, _MODES[spec.color]), spec)  # some palettes break only in conversion
    if spec.own:
        from classifier.pictures.pipelines.samples import Plain
        from classifier.pictures.pipelines.tensorflow_pixels import picture

        return picture(Plain(image), spec)
    return standardized(image, spec)


def standardized_pixels(pixels: bytes, spec: Preprocessing) -> bytes:
    """The same for bytes of the model's size and colours that no picture had, as the compiler's probes."""
    from PIL import Image as Pillow

    if spec.standardize == "none":
        return pixels
    return standardized(Pillow.frombytes(_MODES[spec.color], spec.size[::-1], pixels), spec)


def standardized(image: Image, spec: Preprocessing) -> bytes:
    """The bytes of an image of the model's size and colours, or floats where each picture is standardised."""
    if spec.standardize == "none":
        return image.tobytes()
    from classifier.pictures.pipelines.finish import finished

    return finished([plane.convert("F") for plane in image.split()], spec)


def _load(picture: Picture, spec: Preprocessing, limits: ImageLimits) -> Image:
    """Open and decode with the one plugin."""
    image = _open(picture, io.BytesIO(picture.data))
    _check_opened(image, picture, limits)
    if picture.format == "JPEG":
        _reduce(image, picture, spec)
    if picture.format == "PNG" and (spec.pixels, spec.color) != ("keras", "rgba"):
        _scale_transparent_gray(image)
    if spec.pixels != "keras":
        from classifier.pictures.pipelines import decoders

        decoders.before_loading(image, spec.pixels, spec.color)
    image.load()
    if not picture.width:
        _check_opened(image, picture, limits)  # some formats hold others, and their sizes need not agree
        from PIL import ImageOps

        ImageOps.exif_transpose(image, in_place=True)
    return image  # type: ignore[no-any-return]


def _scale_transparent_gray(image: Any) -> None:  # noqa: ANN401  (Pillow's plugin class)
    """Make the transparent gray of a PNG of 2 or 4 bits one of 8 bits, as Pillow does with its pixels only."""
    bits = {"L;2": 2, "L;4": 4}.get(str(image.tile[0][3])) if "transparency" in image.info else None
    if bits:
        most = (1 << bits) - 1
        image.info["transparency"] = (image.info["transparency"] & most) * 255 // most


def import_plugin(format_: str) -> Any:  # noqa: ANN401  (Pillow's plugin class)
    """Pillow's class for files of this format, without its looking through all others."""
    module, name = _PLUGINS[format_]
    return getattr(import_module(module if "." in module else f"PIL.{module}"), name)


def _check_opened(image: Image, picture: Picture, limits: ImageLimits) -> None:
    """Raise ImageError unless the decoder is about to decode the picture that was checked: its size decides."""
    if not picture.width:
        limits.check_size(picture.format, image.width, image.height)
    elif image.size != (picture.width, picture.height):
        wide, high = image.size
        raise ImageError(f"a {picture} whose decoder says {wide}x{high}: its parts contradict each other")


def _open(picture: Picture, file: IO[bytes]) -> Any:  # noqa: ANN401  (Pillow's plugin class)
    image = import_plugin(picture.format)(file)
    image.decodermaxblock = len(picture.data)  # in pieces, a decoder that waits for more gets all of them again
    return image


def _reduce(image: Any, picture: Picture, spec: Preprocessing) -> None:  # noqa: ANN401  (Pillow's plugin class)
    """Let libjpeg decode a very large picture, or any with `fast_decode`, at 1/2, 1/4 or 1/8 of its size.

    `fast_decode` keeps at least twice the size that resizing then asks for, so that little of it shows.
    """
    height, width = spec.size if picture.orientation < 5 else spec.size[::-1]
    scale = large_scale(picture)
    while spec.fast_decode and scale < 8 and min(picture.width // width, picture.height // height) >= 4 * scale:
        scale *= 2
    if scale > 1:
        image.draft(None, (max(1, picture.width // scale), max(1, picture.height // scale)))


def large_scale(picture: Picture) -> int:
    """Return 1, 2, 4 or 8: a very large JPEG is decoded at that part of its size."""
    scale = 1
    while picture.format == "JPEG" and picture.pixels > _FULL_DECODE_PIXELS * scale * scale and scale < 8:
        scale *= 2
    return scale


def _upright(image: Image, orientation: int) -> Image:
    if orientation == 1:
        return image
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation])


def _resized(image: Image, spec: Preprocessing) -> Image:
    """Resize to `spec.size`: `stretch` and `crop` with the boxes of `keras.utils.load_img`, `pad` centred on black."""
    from PIL.Image import Resampling

    if spec.resize_to is not None:
        from classifier.pictures.pipelines.geometry import middle_of, resized_to

        larger = replace(spec, size=resized_to(spec, image.height, image.width), resize_to=None)
        return middle_of(_resized(image, larger), spec.size)
    height, width = spec.size
    if image.size == (width, height):
        return image
    resample = Resampling[spec.filter.upper()]
    if spec.resize == "stretch":
        return image.resize((width, height), resample)
    if spec.resize == "crop":
        return image.resize((width, height), resample, box=crop_box(image.size, width, height))
    return _padded(image, width, height, resample)


def crop_box(size: tuple[int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """Return the centred box of the target's aspect ratio (`load_img(keep_aspect_ratio=True)`)."""
    crop_width = min(size[0], size[1] * width // height)
    crop_height = min(size[1], size[0] * height // width)
    left, top = (size[0] - crop_width) // 2, (size[1] - crop_height) // 2
    return left, top, left + crop_width, top + crop_height


def _padded(image: Image, width: int, height: int, resample: Any) -> Image:  # noqa: ANN401  (an enum of Pillow's)
    from PIL import Image as Pillow

    inner = inner_size(image.size, width, height)
    canvas = Pillow.new(image.mode, (width, height))
    canvas.paste(image.resize(inner, resample), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return canvas


def inner_size(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """The width and height that a picture of that size has within its black borders."""
    scale = min(width / size[0], height / size[1])
    return max(1, min(width, round(size[0] * scale))), max(1, min(height, round(size[1] * scale)))
