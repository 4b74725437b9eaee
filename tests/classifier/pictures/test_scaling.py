"""Bytes to scaled float32 without numpy, held against numpy to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.pictures.preprocessing import CAFFE_MEAN, TORCH_MEAN, TORCH_STD, Preprocessing
from classifier.pictures.scaling import scaled

PICTURES = 300
COLORS = {"rgb": 3, "bgr": 3, "grayscale": 1, "rgba": 4}


def by_numpy(spec: Preprocessing, pixels: bytes) -> NDArray[Any]:
    """What Keras's `preprocess_input` does to an array, and mean and std as broadcasting has them."""
    found: NDArray[Any] = np.frombuffer(pixels, np.uint8).reshape(spec.shape).astype(np.float32)
    if spec.color == "bgr" or spec.scale == "caffe":
        found = found[..., ::-1]
    if spec.mean is not None:
        found = found - np.array(spec.mean, np.float32)
    if spec.std is not None:
        found = found / np.array(spec.std, np.float32)
    match spec.scale:
        case "unit":
            found = found / np.float32(255)
        case "tf":
            found = found / np.float32(127.5) - np.float32(1)
        case "caffe":
            found = found - np.array(CAFFE_MEAN, np.float32)
        case "torch":
            found = (found / np.float32(255) - np.array(TORCH_MEAN, np.float32)) / np.array(TORCH_STD, np.float32)
    return np.ascontiguousarray(found)


def specifications() -> list[dict[str, Any]]:
    """Of each scale and color, and numbers of every magnitude that serving.json may hold."""
    random = np.random.default_rng(20261129)
    found: list[dict[str, Any]] = []
    for _ in range(PICTURES):
        color = str(random.choice(list(COLORS)))
        size = (int(random.integers(1, 40)), int(random.integers(1, 40)))
        spec: dict[str, Any] = {"size": size, "color": color}
        if random.random() < 0.5:
            fit = ["none", "unit", "tf"] + ["torch"] * (COLORS[color] == 3) + ["caffe"] * (color == "rgb")
            found.append({**spec, "scale": str(random.choice(fit))})
            continue
        for name, least in (("mean", -30), ("std", -28)):
            count = int(random.choice([1, COLORS[color]]))
            spec[name] = tuple((random.uniform(0.1, 9, count) * 10.0 ** random.integers(least, 28)).tolist())
        found.append(spec)
    return found


def test_arrays_are_numpys_to_the_last_bit() -> None:
    random = np.random.default_rng(7)
    for wanted in specifications():
        spec = Preprocessing(**wanted)
        pixels = random.bytes(spec.size[0] * spec.size[1] * spec.channels)
        with np.errstate(over="ignore"):
            expected = by_numpy(spec, pixels)
        found = np.asarray(spec.to_array(pixels))
        assert (found.shape, found.dtype.name) == (spec.shape, "float32")
        assert found.tobytes() == expected.tobytes(), wanted


def test_every_value_of_a_pixel_is_numpys() -> None:
    pixels = bytes(range(256)) * 3
    for scale in ("none", "unit", "tf", "caffe", "torch"):
        spec = Preprocessing(size=(16, 16), scale=scale)
        assert np.asarray(spec.to_array(pixels)).tobytes() == by_numpy(spec, pixels).tobytes()


def test_a_picture_lies_in_memory_as_engines_read_it() -> None:
    found = Preprocessing(size=(2, 3), color="bgr").to_array(bytes(18))
    assert (found.format, found.shape, found.c_contiguous, found.readonly) == ("f", (1, 2, 3, 3), True, False)


def test_pixels_of_another_size_are_refused() -> None:
    with pytest.raises(TypeError):
        scaled(bytes(17), (1, 2, 3, 3), (), reverse=False)
