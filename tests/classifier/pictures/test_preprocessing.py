"""serving.json's `preprocessing`: what it may say, and that it gives the array that Keras gives."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest

from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from classifier.pictures.preprocessing import MAX_SIDE, Preprocessing, PreprocessingError
from tests.support import pictures

RGB_96 = (96, 96, 3)
LIMITS = ImageLimits()

KERAS_PICTURES = {
    "JPEG": pictures.encoded(pictures.photo(133, 89), "JPEG"),
    "progressive JPEG": pictures.encoded(pictures.photo(90, 133), "JPEG", progressive=True),
    "CMYK JPEG": pictures.encoded(pictures.photo(133, 89, "CMYK"), "JPEG"),
    "PNG": pictures.encoded(pictures.photo(133, 89), "PNG"),
    "palette PNG": pictures.encoded(pictures.photo(133, 89, "P"), "PNG"),
    "gray PNG": pictures.encoded(pictures.photo(61, 47, "L"), "PNG"),
    "picture of the model's size": pictures.encoded(pictures.photo(30, 22), "PNG"),
    "picture of one pixel": pictures.encoded(pictures.photo(1, 1), "PNG"),
    "GIF": pictures.encoded(pictures.photo(133, 89), "GIF"),
    "WebP": pictures.encoded(pictures.photo(133, 89), "WEBP"),
    "BMP": pictures.encoded(pictures.photo(133, 89), "BMP"),
}
CASES = list(
    itertools.product(
        ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"),
        ("stretch", "crop"),
        (
            ("rgb", "none"),
            ("rgb", "tf"),
            ("rgb", "caffe"),
            ("rgb", "torch"),
            ("grayscale", "none"),
            ("grayscale", "tf"),
            ("rgba", "none"),
            ("rgba", "tf"),
        ),
    )
)


def ours(data: bytes, **wanted: Any) -> np.ndarray[Any, Any]:
    spec = Preprocessing(**{"size": (22, 30), **wanted})
    return np.asarray(spec.to_array(decode(inspect(data, LIMITS), spec, LIMITS).pixels))


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", KERAS_PICTURES)
def test_array_is_the_one_that_keras_gives_to_the_last_bit(name: str) -> None:
    import keras

    data = KERAS_PICTURES[name]
    for resampling, resize, (color, scale) in CASES:
        image = keras.utils.load_img(
            io.BytesIO(data),
            color_mode=color,
            target_size=(22, 30),
            interpolation=resampling,
            keep_aspect_ratio=resize == "crop",
        )
        wanted = np.expand_dims(keras.utils.img_to_array(image), 0)
        if scale != "none":
            wanted = keras.applications.imagenet_utils.preprocess_input(wanted, mode=scale)
        got = ours(data, filter=resampling, resize=resize, color=color, scale=scale)
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        assert (got == wanted).all(), (resampling, resize, color, scale)


@pytest.mark.tensorflow
def test_a_model_of_four_channels_gets_transparency_as_keras_gives_it() -> None:
    import keras

    image = pictures.photo(133, 89).convert("RGBA")
    image.putalpha(image.getchannel("G"))
    data = pictures.encoded(image, "PNG")
    wanted = keras.utils.load_img(io.BytesIO(data), color_mode="rgba", target_size=(22, 30), interpolation="bilinear")

    assert (ours(data, filter="bilinear", color="rgba")[0] == keras.utils.img_to_array(wanted)).all()


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("application", "scale"),
    [("mobilenet_v2", "tf"), ("inception_v3", "tf"), ("resnet50", "caffe"), ("vgg16", "caffe"), ("densenet", "torch")],
)
def test_named_scales_are_those_of_the_applications(application: str, scale: str) -> None:
    import keras

    pixels = np.asarray(pictures.photo(30, 22), np.float32)[None]
    wanted = getattr(keras.applications, application).preprocess_input(pixels.copy())
    assert (ours(KERAS_PICTURES["picture of the model's size"], scale=scale) == wanted).all()


PIXELS = np.asarray(pictures.photo(30, 22), np.float32)[None]
EXACT = KERAS_PICTURES["picture of the model's size"]


def test_unit_scale_is_the_rescaling_layer() -> None:
    assert (ours(EXACT, scale="unit") == PIXELS / np.float32(255)).all()


def test_bgr_turns_the_channels() -> None:
    assert (ours(EXACT, color="bgr") == PIXELS[..., ::-1]).all()
    assert (
        ours(EXACT, color="bgr", scale="torch")[..., 0]
        == (PIXELS[..., 2] / 255 - np.float32(0.485)) / np.float32(0.229)
    ).all()


def test_mean_and_std_are_subtracted_and_divided_by_channel() -> None:
    mean, std = np.array([1, 2, 3], np.float32), np.array([4, 5, 6], np.float32)
    assert (ours(EXACT, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0)) == (PIXELS - mean) / std).all()
    assert (ours(EXACT, mean=(127.5,)) == PIXELS - np.float32(127.5)).all()
    assert (ours(EXACT, std=(2.0,)) == PIXELS / 2).all()


def test_mean_follows_the_order_of_color() -> None:
    assert (ours(EXACT, color="bgr", mean=(9.0, 0.0, 0.0))[..., 0] == PIXELS[..., 2] - 9).all()


def test_array_lies_in_memory_as_engines_read_it() -> None:
    for wanted in ({"scale": "caffe"}, {"color": "bgr"}, {"color": "grayscale"}):
        array = ours(EXACT, **wanted)
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_defaults_are_those_of_load_img_in_the_models_size() -> None:
    assert Preprocessing.from_json({}, (90, 120, 3)) == Preprocessing(size=(90, 120))
    assert Preprocessing.from_json(None, (90, 120, 3)) == Preprocessing(size=(90, 120))
    assert Preprocessing.from_json({}, (90, 120, 1)) == Preprocessing(size=(90, 120), color="grayscale")
    assert Preprocessing.from_json({}, (90, 120, 4)) == Preprocessing(size=(90, 120), color="rgba")
    assert Preprocessing(size=(90, 120)).to_json() == {
        "size": [90, 120],
        "resize": "stretch",
        "filter": "nearest",
        "color": "rgb",
        "scale": "none",
        "fast_decode": False,
    }


@pytest.mark.parametrize(
    "given",
    [
        {"size": [96, 96], "resize": "crop", "filter": "lanczos", "color": "bgr", "scale": "torch"},
        {"size": [96, 96], "mean": [1, 2, 3], "std": 4.5, "fast_decode": True},
        {"mean": 127.5},
    ],
)
def test_what_is_read_can_be_written_and_read_again(given: dict[str, Any]) -> None:
    spec = Preprocessing.from_json(given, RGB_96)
    again = Preprocessing.from_json(spec.to_json(), RGB_96)
    assert again.to_json() == spec.to_json()


def test_size_is_height_then_width_and_fills_what_the_model_leaves_open() -> None:
    assert Preprocessing.from_json({"size": [20, 30]}, (None, None, 3)).shape == (1, 20, 30, 3)
    assert Preprocessing.from_json({"size": [20, 30]}, (20, None, 3)).size == (20, 30)


PROBLEMS: list[tuple[object, tuple[int | None, ...], str]] = [
    ([], RGB_96, "preprocessing is []: expected an object"),
    ("tf", RGB_96, "preprocessing is 'tf': expected an object"),
    ({"mode": "tf"}, RGB_96, "preprocessing.mode is 'tf': expected one of the fields size, resize, filter"),
    ({"size": 96}, RGB_96, f"preprocessing.size is 96: expected [height, width], each from 1 to {MAX_SIDE}"),
    ({"size": [96, 0]}, RGB_96, "preprocessing.size is [96, 0]: expected [height, width]"),
    ({"size": [96, True]}, RGB_96, "preprocessing.size is [96, True]: expected [height, width]"),
    ({"size": [96, 96.0]}, RGB_96, "preprocessing.size is [96, 96.0]: expected [height, width]"),
    ({"size": [MAX_SIDE + 1, 96]}, (None, None, 3), "preprocessing.size is [4097, 96]: expected"),
    (
        {"size": [96, 97]},
        RGB_96,
        "preprocessing.size is [96, 97]: expected [96, 96], the height and width of the model",
    ),
    ({}, (None, None, 3), "preprocessing.size: expected [height, width], each from 1 to 4096, because the model's"),
    ({}, (96, 96), "the model's input is (96, 96): expected height, width and channels"),
    ({"resize": "fit"}, RGB_96, "preprocessing.resize is 'fit': expected stretch, crop or pad"),
    (
        {"filter": None},
        RGB_96,
        "preprocessing.filter is None: expected nearest, bilinear, bicubic, lanczos, box or hamming",
    ),
    ({"filter": ["nearest"]}, RGB_96, "preprocessing.filter is ['nearest']: expected nearest"),
    ({"color": "RGB"}, RGB_96, "preprocessing.color is 'RGB': expected rgb, bgr, grayscale or rgba"),
    ({"color": "grayscale"}, RGB_96, "preprocessing.color is 'grayscale': the model's input has 3 channels"),
    ({}, (96, 96, 5), "preprocessing.color: the model's input has 5 channels, this color gives 3"),
    ({"scale": "caffe"}, (96, 96, 4), "preprocessing.scale is 'caffe': expected none, unit or tf with color rgba"),
    ({"color": "bgr", "scale": "caffe"}, RGB_96, "preprocessing.color is 'bgr': expected rgb with scale caffe"),
    ({"scale": "torch"}, (96, 96, 1), "preprocessing.scale is 'torch': expected none, unit or tf with color grayscale"),
    ({"scale": "tf", "mean": 1}, RGB_96, "preprocessing.scale is 'tf': expected either scale, or mean and std"),
    ({"mean": [1, 2]}, RGB_96, "preprocessing.mean is [1, 2]: expected a number or a list of 3 numbers"),
    ({"mean": "127"}, RGB_96, "preprocessing.mean is '127': expected a number"),
    ({"mean": float("nan")}, RGB_96, "preprocessing.mean is nan: expected a number"),
    ({"std": 10**400}, RGB_96, "preprocessing.std is 1000"),
    ({"std": [1, 0, 1]}, RGB_96, "preprocessing.std is [1, 0, 1]: expected numbers other than 0"),
    ({"std": 1e-40}, RGB_96, "preprocessing.std is 1e-40: expected numbers other than 0"),
    ({"pixels": "torch"}, RGB_96, "preprocessing.pixels is 'torch': expected keras, tensorflow or opencv"),
    ({"pixels": "tensorflow", "filter": "lanczos"}, RGB_96, "preprocessing.filter is 'lanczos': expected bilinear,"),
    (
        {"pixels": "opencv", "filter": "bilinear"},
        RGB_96,
        "preprocessing.filter is 'bilinear': expected linear, nearest",
    ),
    ({"resize": "pad-resize"}, RGB_96, "preprocessing.resize is 'pad-resize': expected stretch, crop or pad"),
    ({"pixels": "opencv", "resize": "crop"}, RGB_96, "preprocessing.resize is 'crop': expected stretch"),
    ({"antialias": 1, "pixels": "tensorflow"}, RGB_96, "preprocessing.antialias is 1: expected true or false"),
    ({"antialias": True}, RGB_96, "preprocessing.antialias is True: expected with pixels tensorflow and the filters"),
    (
        {"antialias": True, "pixels": "tensorflow", "filter": "area"},
        RGB_96,
        "preprocessing.antialias is True: expected with pixels tensorflow and the filters bilinear",
    ),
    ({"resize_to": 95}, RGB_96, "preprocessing.resize_to is 95: expected [height, width] or the shorter side, of 96"),
    ({"resize_to": [128, 95]}, RGB_96, "preprocessing.resize_to is [128, 95]: expected [height, width] or the"),
    ({"resize_to": "128"}, RGB_96, "preprocessing.resize_to is '128': expected [height, width] or the shorter side"),
    ({"resize_to": 128, "resize": "crop"}, RGB_96, "preprocessing.resize_to is 128: expected [height, width] with"),
    ({"standardize": True}, RGB_96, "preprocessing.standardize is True: expected none, per_image, samplewise"),
    ({"fast_decode": 1}, RGB_96, "preprocessing.fast_decode is 1: expected true or false"),
]


@pytest.mark.parametrize(("given", "shape", "problem"), PROBLEMS)
def test_problem_names_field_value_and_expected_form(
    given: object, shape: tuple[int | None, ...], problem: str
) -> None:
    with pytest.raises(PreprocessingError) as caught:
        Preprocessing.from_json(given, shape)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(problem)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(PreprocessingError) as caught:
        Preprocessing.from_json({"size": [1], "scale": "x", "colour": "rgb", "std": 0}, RGB_96)
    assert len(caught.value.problems) == 4
