"""`pixels: tensorflow` against TensorFlow and Keras themselves: forty pictures, every filter and resize."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from classifier.pictures.preprocessing import ANTIALIASED, FILTERS
from tests.support.pictures import ORIENTATION, encoded, exif
from tests.support.pixel_pictures import detailed, pixel_pictures
from tests.support.preprocessed import preprocessed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.tensorflow

SIZE = (96, 80)
EXACT = 0.0
CLOSE = 0.003
"""Of 255: sums of many float32 in another order."""
type Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Case:
    """Fields of serving.json, TensorFlow's or Keras's own call, and the largest difference."""

    fields: dict[str, Any]
    call: Callable[[Any], Any]
    most: float = EXACT


def filters() -> Iterator[tuple[str, Case]]:
    """Each filter, in the three ways that `image_dataset_from_directory` has, and antialiased."""
    import tensorflow as tf

    for name in FILTERS["tensorflow"]:
        most = EXACT if name in {"bilinear", "nearest"} else CLOSE
        yield f"resize {name}", Case({"filter": name}, partial(tf.image.resize, size=SIZE, method=name), most)
        pad = partial(tf.image.resize_with_pad, target_height=SIZE[0], target_width=SIZE[1], method=name)
        yield f"resize_with_pad {name}", Case({"filter": name, "resize": "pad"}, pad, most)
        if name not in {"gaussian", "mitchellcubic"}:  # smart_resize has neither
            yield f"smart_resize {name}", Case({"filter": name, "resize": "crop"}, smart_resize(name), most)
    for name in ANTIALIASED:
        smooth = partial(tf.image.resize, size=SIZE, method=name, antialias=True)
        yield f"antialias {name}", Case({"filter": name, "antialias": True}, smooth, CLOSE)


def layers() -> Iterator[tuple[str, Case]]:
    """Keras's layers that resize."""
    import keras
    import tensorflow as tf

    def layer(**options: Any) -> Callable[[Any], Any]:
        resizing = keras.layers.Resizing(*SIZE, **options)
        return lambda picture: resizing(tf.cast(picture, tf.float32)[None])[0]

    pads = {"resize": "pad-resize"}
    yield "Resizing pads", Case(pads, layer(pad_to_aspect_ratio=True))
    nearest = layer(interpolation="nearest", pad_to_aspect_ratio=True)
    yield "Resizing pads nearest", Case({**pads, "filter": "nearest"}, nearest)
    bicubic = layer(interpolation="bicubic", pad_to_aspect_ratio=True)
    yield "Resizing pads bicubic", Case({**pads, "filter": "bicubic"}, bicubic, CLOSE)
    smooth = layer(antialias=True, pad_to_aspect_ratio=True)
    yield "Resizing pads, antialias", Case({**pads, "antialias": True}, smooth, CLOSE)
    yield "Resizing crops", Case({"resize": "crop"}, layer(crop_to_aspect_ratio=True))
    for name in ("bilinear", "bicubic", "lanczos3"):
        cuts = layer(interpolation=name, antialias=True, crop_to_aspect_ratio=True)
        yield (
            f"Resizing crops {name}, antialias",
            Case({"resize": "crop", "filter": name, "antialias": True}, cuts, CLOSE),
        )
    centre = keras.layers.CenterCrop(*SIZE)
    resized = partial(tf.image.resize, size=(113, 101))
    yield "CenterCrop", Case({"resize_to": [113, 101]}, lambda picture: centre(resized(picture)[None])[0])


def what_follows() -> Iterator[tuple[str, Case]]:
    """Centre crops, scales and standardisation."""
    import tensorflow as tf
    from keras.applications.imagenet_utils import preprocess_input

    resized = partial(tf.image.resize, size=SIZE)
    crop = partial(tf.image.resize_with_crop_or_pad, target_height=SIZE[0], target_width=SIZE[1])
    nearest = partial(tf.image.resize, size=(128, 128), method="nearest")
    fields = {"resize_to": [128, 128], "filter": "nearest"}
    yield "nearest, centre crop", Case(fields, lambda picture: crop(nearest(picture)))
    padded = partial(tf.image.resize_with_pad, target_height=128, target_width=128)
    yield "pad, centre crop", Case({"resize_to": [128, 128], "resize": "pad"}, lambda picture: crop(padded(picture)))
    standard = tf.image.per_image_standardization
    yield "per image", Case({"standardize": "per_image"}, lambda picture: standard(resized(picture)), 1e-5)
    yield "unit", Case({"scale": "unit"}, lambda picture: resized(picture) / 255.0)
    for mode in ("tf", "caffe", "torch"):
        scale = partial(preprocess_input, mode=mode)
        yield mode, Case({"scale": mode}, lambda picture, scale=scale: scale(resized(picture).numpy()))  # type: ignore[misc]


def smart_resize(interpolation: str) -> Callable[[Any], Any]:
    """`smart_resize` as `image_dataset_from_directory` runs it: in a graph, so with boxes computed in float32."""
    import tensorflow as tf
    from keras.src.backend import tensorflow as backend
    from keras.src.utils.image_utils import smart_resize as resize

    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])  # type: ignore[untyped-decorator]
    def graph(picture: Any) -> Any:
        return resize(picture, SIZE, interpolation=interpolation, backend_module=backend)

    function: Callable[[Any], Any] = graph
    return function


@pytest.fixture(scope="module")
def decoded() -> dict[str, Any]:
    """Every picture as `tf.image.decode_image` decodes it, which `image_dataset_from_directory` calls."""
    import tensorflow as tf

    pictures = pixel_pictures().items()
    return {name: tf.image.decode_image(data, channels=3, expand_animations=False) for name, data in pictures}


@pytest.mark.parametrize("family", [filters, layers, what_follows])
def test_every_pipeline_gives_the_pixels_of_tensorflow(decoded: dict[str, Any], family: Any) -> None:
    assert len(decoded) >= 40
    wrong = {}
    for number, (case, asked) in enumerate(family()):
        for index, (name, picture) in enumerate(decoded.items()):
            if case != "resize bilinear" and (index + number) % 3:
                continue  # a third of the pictures for each, another third for the next
            wanted: Array = np.asarray(asked.call(picture), np.float32)
            got = preprocessed(pixel_pictures()[name], SIZE, pixels="tensorflow", **asked.fields)
            assert got.shape == wanted.shape
            if (difference := float(np.abs(got - wanted).max())) > asked.most:
                wrong[case, name] = difference
    assert wrong == {}


def test_gray_is_tensorflows() -> None:
    import tensorflow as tf

    for name, data in pixel_pictures().items():
        if name in {"CMYK JPEG", "JPEG of RGB"} or not data.startswith((b"\xff\xd8", b"\x89PNG")):
            continue  # TensorFlow makes no gray of these
        most = 1.0001 if name == "PNG of 16 bits" else EXACT  # it weighs the colours before the low bytes go
        wanted = tf.image.resize(tf.io.decode_image(data, channels=1), SIZE).numpy()
        got = preprocessed(data, SIZE, pixels="tensorflow", color="grayscale")
        assert np.abs(got - wanted).max() <= most, name


def test_image_dataset_from_directory_gives_these_pixels(tmp_path: Any) -> None:
    import keras

    (tmp_path / "only").mkdir()
    names = ["JPEG 4:2:0 (400, 533)", "JPEG 4:2:2 (333, 217)", "progressive JPEG", "gray JPEG"]
    for index, name in enumerate(names):
        (tmp_path / "only" / f"{index}.jpg").write_bytes(pixel_pictures()[name])
    for fields, arguments in (
        ({}, {}),
        ({"filter": "nearest"}, {"interpolation": "nearest"}),
        ({"resize": "crop"}, {"crop_to_aspect_ratio": True}),
        ({"resize": "pad"}, {"pad_to_aspect_ratio": True}),
        ({"color": "grayscale"}, {"color_mode": "grayscale"}),
    ):
        dataset = keras.utils.image_dataset_from_directory(
            tmp_path, labels=None, image_size=SIZE, batch_size=None, shuffle=False, verbose=False, **arguments
        )
        for name, wanted in zip(names, dataset, strict=True):
            got = preprocessed(pixel_pictures()[name], SIZE, pixels="tensorflow", **fields)
            assert (got == np.asarray(wanted)).all(), (name, fields)


def test_a_picture_on_its_side_is_turned_upright_which_tensorflow_does_not_do() -> None:
    import tensorflow as tf

    for orientation in range(1, 9):
        data = encoded(detailed(61, 45), "JPEG", exif=exif(orientation), subsampling="4:2:0")
        stored = Image.fromarray(tf.io.decode_jpeg(data).numpy())
        stored.getexif()[ORIENTATION] = orientation
        wanted = np.asarray(ImageOps.exif_transpose(stored))
        assert (preprocessed(data, wanted.shape[:2], pixels="tensorflow") == wanted).all(), orientation
