"""`--trained-with`: each row of the documented table, against the call that it names; and what can't be read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lifecycle.errors import UsageError
from lifecycle.trained_with import fields_of
from local.launch import PROJECT
from tests.support import training_calls
from tests.support.pixel_pictures import pixel_pictures
from tests.support.preprocessed import preprocessed

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (96, 80)
PICTURES = ("JPEG 4:2:0 (333, 217)", "progressive JPEG", "PNG")
MOST = {"bicubic": 0.003, "area": 1 / 255 + 1e-6, "linear": 1, "nearest": 1.2e-5}
"""Largest differences by filter; `rescale` multiplies by a rounded 1/255 where `unit` divides, hence the last."""
ROW = re.compile(r"^\| `([^`]+)` \| `(\{.*\})` \|$", re.MULTILINE)
ROWS = ROW.findall((PROJECT / "docs/reference/serving-json.md").read_text("utf-8"))


@pytest.mark.tensorflow
@pytest.mark.parametrize(("call", "fields"), ROWS, ids=[call for call, _ in ROWS])
def test_the_documented_row_is_what_the_call_gives(call: str, fields: str, tmp_path: Path) -> None:
    said = json.loads(fields)
    assert fields_of([call]) == said
    for name in PICTURES:
        data = pixel_pictures()[name]
        most = 1e-5 if {"scale", "standardize"} & said.keys() else 0.0
        most = max(most, MOST.get(said["filter"], 0.0) if said["filter"] != "nearest" else 0.0)
        most = 0.03 if call == "teachable-machine" else most  # ImageOps.fit crops between pixels, Keras on them
        difference = np.abs(training_calls.pixels(call, data, SIZE, tmp_path) - preprocessed(data, SIZE, **said))
        assert (difference.mean() if call == "teachable-machine" else difference.max()) <= most, name


def test_the_table_is_whole() -> None:
    assert len(ROWS) >= 20
    assert {call.partition("(")[0] for call, _ in ROWS} >= {
        *("image_dataset_from_directory", "ImageDataGenerator", "load_img", "tf.image.resize", "opencv"),
        *("teachable-machine", "Resizing", "tf.image.resize_with_pad"),
    }


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (
            ["image_dataset_from_directory", "image_size=(64,48)", "interpolation=bicubic", "batch_size=8", "seed=1"],
            {"pixels": "tensorflow", "filter": "bicubic", "resize": "stretch", "size": [64, 48]},
        ),
        (
            ["keras.utils.image_dataset_from_directory(directory='x', crop_to_aspect_ratio=True)"],
            {"pixels": "tensorflow", "filter": "bilinear", "resize": "crop"},
        ),
        (
            ["ImageDataGenerator", "rescale=1./255", "rotation_range=20", "horizontal_flip=True"],
            {"pixels": "keras", "filter": "nearest", "resize": "stretch", "scale": "unit"},
        ),
        (
            ["tf.image", "method=tf.image.ResizeMethod.AREA"],
            {"pixels": "tensorflow", "filter": "area", "resize": "stretch"},
        ),
        (
            ["tf.image", "size=224", "resize_to=256"],
            {"pixels": "tensorflow", "filter": "bilinear", "resize": "stretch", "size": [224, 224], "resize_to": 256},
        ),
        (
            ["load_img", "rescale=1/127.5", "offset=-1", "target_size=(64,48)"],
            {"pixels": "keras", "filter": "nearest", "resize": "stretch", "size": [64, 48], "scale": "tf"},
        ),
        (
            ["ImageDataGenerator(rescale=1./255).flow_from_directory('train', target_size=(64, 48), shuffle=False)"],
            {"pixels": "keras", "filter": "nearest", "resize": "stretch", "size": [64, 48], "scale": "unit"},
        ),
        (["flow_from_directory", "rescale=1/255"], {**fields_of(["ImageDataGenerator"]), "scale": "unit"}),
        (
            ["image_dataset_from_directory(TRAIN, image_size=(64, 48))"],
            {"pixels": "tensorflow", "filter": "bilinear", "resize": "stretch", "size": [64, 48]},
        ),
        (
            ["tf.keras.preprocessing.image.load_img('x.jpg', 'grayscale', (64, 48))"],
            {"pixels": "keras", "filter": "nearest", "resize": "stretch", "size": [64, 48], "color": "grayscale"},
        ),
        (
            ["ImageDataGenerator(samplewise_std_normalization=True).flow_from_directory('train', (64, 48))"],
            {
                **fields_of(["ImageDataGenerator"]),
                "size": [64, 48],
                "standardize": "samplewise",
            },
        ),
        (
            ["tf.image.resize(image, [64, 48], tf.image.ResizeMethod.NEAREST_NEIGHBOR, antialias=True)"],
            {"pixels": "tensorflow", "filter": "nearest", "resize": "stretch", "size": [64, 48]},
        ),
        (
            ["Resizing(64, 48, 'nearest', antialias=True, fill_value=0.0, name='first')"],
            {"pixels": "tensorflow", "filter": "nearest", "resize": "stretch", "size": [64, 48]},
        ),
        (
            ["image_dataset_from_directory", "crop_to_aspect_ratio=false"],
            {"pixels": "tensorflow", "filter": "bilinear", "resize": "stretch"},
        ),
        (
            ["load_img", "rescale=1/(2*127.5)"],
            {"pixels": "keras", "filter": "nearest", "resize": "stretch", "scale": "unit"},
        ),
        (
            ["load_img", "offset=-1"],
            {"pixels": "keras", "filter": "nearest", "resize": "stretch", "mean": [1.0], "std": [1.0]},
        ),
        (
            ["cv2.resize(picture, (48, 64), interpolation=3, preprocess_input=resnet50)"],
            {
                **fields_of(["opencv(interpolation=cv2.INTER_AREA)"]),
                "size": [64, 48],
                "color": "rgb",
                "mean": [103.939, 116.779, 123.68],
            },
        ),
        (
            ["opencv", "rescale=0.5"],
            {"pixels": "opencv", "filter": "linear", "color": "bgr", "mean": [-0.0], "std": [2.0]},
        ),
    ],
)
def test_arguments_are_the_calls_own(words: list[str], fields: dict[str, Any]) -> None:
    assert fields_of(words) == fields


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["torchvision"], "--trained-with torchvision: expected image_dataset_from_directory, ImageDataGenerator"),
        (["load_img", "filter=nearest"], "filter: not known. Its arguments that matter are target_size, interpolation"),
        (["load_img(("], "this can't be read"),
        (["load_img", "nearest"], "expected an argument of the call, as interpolation=nearest"),
        (["ImageDataGenerator(True)"], "give arguments by name, as interpolation='nearest'"),
        (["tf.image.resize(*given)"], "give arguments by name"),
        (["load_img", "rescale=1/SCALE"], "this can't be computed"),
        (["load_img", "rescale=1/0"], "this can't be computed: division by zero"),
        (["load_img(keep_aspect_ratio=KEEP)"], "keep_aspect_ratio=KEEP: expected True or False"),
        (["Resizing", "crop_to_aspect_ratio=True", "pad_to_aspect_ratio=True"], "only one of crop_to_aspect_ratio and"),
        (["Resizing(96, 96, pad_to_aspect_ratio=True, fill_value=127)"], "only black borders are known"),
        (["image_dataset_from_directory(format='grain')"], "format=grain: only tf is known"),
        (["load_img", "rescale=1/255", "preprocess_input=vgg16"], "expected one of them, else mean and std"),
        (["ImageDataGenerator(preprocessing_function=vgg16.preprocess_input, rescale=0.5)"], "expected one of them"),
        (["ImageDataGenerator(zca_whitening=True)"], "give --serving"),
        (["load_img('x.jpg').resize((96, 96))"], "expected one call"),
        (["load_img", "rescale=bright"], "expected numbers, as rescale=1/255"),
        (["load_img", "preprocess_input=mine"], "expected a module of Keras"),
        (["ImageDataGenerator", "featurewise_center=True"], "needs its mean and std"),
        (["tf.image", "preserve_aspect_ratio=True"], "pictures of many sizes"),
    ],
)
def test_what_cant_be_read_is_said(words: list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=re.escape(problem)):
        fields_of(words)
