"""LiteRT's C API by ctypes: the answers are Keras's, failures are named, memory is given back."""

from __future__ import annotations

import gc
import importlib.metadata
import mmap
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifier import arrays
from classifier.engines.litert_engine import CompiledModel
from classifier.litert_c import KNOWN_VERSIONS, LiteRtError

ROOT = Path(__file__).parents[2]
SHAPE = (12, 12, 3)


def _layers() -> dict[str, Callable[[Any], Any]]:
    """Ten kinds of operators, each from a picture to a row."""
    from keras import layers

    flat = layers.GlobalAveragePooling2D
    return {
        "upsampling": lambda x: flat()(layers.UpSampling2D(3, interpolation="bilinear")(x)),
        "transposed convolution": lambda x: flat()(layers.Conv2DTranspose(4, 3, strides=2, activation="elu")(x)),
        "dilated convolution": lambda x: flat()(layers.Conv2D(4, 3, dilation_rate=2, activation="softplus")(x)),
        "separable convolution": lambda x: flat()(layers.SeparableConv2D(5, 3, activation="swish")(x)),
        "depthwise convolution": lambda x: flat()(layers.DepthwiseConv2D(3, strides=2, activation="gelu")(x)),
        "attention": lambda x: layers.GlobalAveragePooling1D()(
            layers.MultiHeadAttention(2, 4)(*[layers.LayerNormalization()(layers.Reshape((36, 12))(x))] * 2)
        ),
        "LSTM": lambda x: layers.LSTM(5)(layers.Reshape((12, 36))(x)),
        "PReLU and pooling": lambda x: layers.Flatten()(layers.MaxPooling2D(4)(layers.PReLU()(x))),
        "hard swish and averages": lambda x: layers.Flatten()(
            layers.AveragePooling2D(4)(layers.Activation("hard_silu")(x))
        ),
        "tanh and softmax": lambda x: layers.Dense(7, activation="softmax")(
            layers.Activation("tanh")(layers.Flatten()(x))
        ),
    }


NAMES = (
    *("upsampling", "transposed convolution", "dilated convolution", "separable convolution"),
    *("depthwise convolution", "attention", "LSTM", "PReLU and pooling", "hard swish and averages", "tanh and softmax"),
)


def converted(model: Any) -> bytes:
    """A Keras model in TensorFlow Lite's form, of one picture at a time."""
    import tensorflow as tf

    from classifier.engines.keras_engine import traced

    _, module = traced(model, (1, *SHAPE), (1, *SHAPE), [0])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.serve.get_concrete_function()], module)
    return bytes(converter.convert())


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[Any, bytes]]:
    import keras

    keras.utils.set_random_seed(5)
    made = {}
    for name, layer in _layers().items():
        picture = keras.Input(SHAPE)
        model = keras.Model(picture, layer(picture))
        made[name] = (model, converted(model))
    return made


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", NAMES)
def test_the_answers_are_kerass_own(models: dict[str, tuple[Any, bytes]], name: str) -> None:
    model, data = models[name]
    compiled = CompiledModel(data, 1)
    assert compiled.input_shape == (1, *SHAPE)
    for seed in range(3):
        picture = np.random.default_rng(seed).uniform(-1, 1, (1, *SHAPE)).astype(np.float32)
        (found,) = compiled.run(picture)
        np.testing.assert_allclose(found, np.asarray(model(picture, training=False)).reshape(-1), atol=2e-5)


@pytest.mark.tensorflow
def test_it_is_ready_again_with_other_threads_and_from_a_file(
    models: dict[str, tuple[Any, bytes]], tmp_path: Path
) -> None:
    _, data = models["separable convolution"]
    picture = np.random.default_rng(1).uniform(-1, 1, (1, *SHAPE)).astype(np.float32)
    expected = CompiledModel(data, 1).run(picture)
    assert CompiledModel(data, 2).run(arrays.shaped(picture, picture.shape)) == expected
    (tmp_path / "model.tflite").write_bytes(data)
    with (tmp_path / "model.tflite").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    compiled = CompiledModel(mapped, 1)
    assert [compiled.run(picture) for _ in range(3)] == [expected] * 3
    assert mapped[:] == data


THREADS = """
import os, sys
from classifier import arrays
from classifier.engines.litert_engine import CompiledModel

counts = []
for threads in (1, 3):
    with open(sys.argv[1], "rb") as file:
        model = CompiledModel(file.read(), threads)
    model.run(arrays.zeros(model.input_shape))
    counts.append(len(os.listdir("/proc/self/task")))
print(counts)
"""


@pytest.mark.tensorflow
def test_it_takes_as_many_threads_as_it_is_given(models: dict[str, tuple[Any, bytes]], tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(models["LSTM"][1])
    assert _said(THREADS, tmp_path / "model.tflite") == "[1, 3]"


def _said(script: str, path: Path) -> str:
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.tensorflow
def test_a_picture_of_another_size_is_refused_and_the_next_is_answered(models: dict[str, tuple[Any, bytes]]) -> None:
    compiled = CompiledModel(models["LSTM"][1], 1)
    with pytest.raises(ValueError, match=r"16 bytes were given, an input of \(1, 12, 12, 3\) takes 1728"):
        compiled.run(arrays.zeros((1, 2, 2, 1)))
    assert len(compiled.run(arrays.zeros((1, *SHAPE)))[0]) == 5


@pytest.mark.tensorflow
def test_everything_is_freed() -> None:
    """Twenty times a model of which each takes memory of its own: what stays is less than one of them."""
    import keras

    wide = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(20_000)])
    data = converted(wide)  # 35 MB
    CompiledModel(data, 1).run(arrays.zeros((1, *SHAPE)))
    before = _resident()
    for _ in range(20):
        CompiledModel(data, 1).run(arrays.zeros((1, *SHAPE)))
    gc.collect()
    assert _resident() - before < len(data)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


PEAK = """
import mmap, sys
from classifier import arrays
from classifier.engines.litert_engine import CompiledModel

def resident(what):
    return int(next(line for line in open("/proc/self/status") if line.startswith(what)).split()[1]) * 1024

with open(sys.argv[1], "rb") as file:
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
before = resident("VmRSS")
model = CompiledModel(data, 1)
model.run(arrays.zeros(model.input_shape))
print((resident("VmHWM") - before) / len(data))
"""


@pytest.mark.tensorflow
def test_a_mapped_model_is_in_memory_once(tmp_path: Path) -> None:
    """What XNNPACK has packed of it is given back: less than 1.4 times the model at the peak, library included."""
    import keras

    wide = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), *(keras.layers.Dense(3000) for _ in range(4))])
    (tmp_path / "model.tflite").write_bytes(converted(wide))  # 114 MB
    assert float(_said(PEAK, tmp_path / "model.tflite")) < 1.4


@pytest.mark.parametrize("data", [b"", b"not a model, but long enough to be looked at", bytes(1000)])
def test_what_is_no_model_is_named(data: bytes) -> None:
    with pytest.raises(LiteRtError, match=r"LiteRtCreateModelFromBuffer: [a-z ]+ \(\d+\)"):
        CompiledModel(data, 1)


def test_the_pinned_version_is_known() -> None:
    pinned = re.search(r"^ai-edge-litert==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert pinned[1] in KNOWN_VERSIONS
    assert importlib.metadata.version("ai-edge-litert") in KNOWN_VERSIONS


QUIET = """
import sys
from classifier.engines.litert_engine import CompiledModel
try:
    CompiledModel(b"x" * 100, 1)
except RuntimeError as error:
    print(error)
print([name for name in ("numpy", "ai_edge_litert") if name in sys.modules])
"""


def test_the_library_says_nothing_of_accelerators_and_needs_neither_numpy_nor_its_wrapper() -> None:
    done = subprocess.run([sys.executable, "-c", QUIET], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "[]"
    assert "ccelerator" not in done.stderr
    assert "INFO" not in done.stderr


def test_a_library_that_lacks_a_function_is_named(tmp_path: Path) -> None:
    """As another version of the package may."""
    package = tmp_path / "ai_edge_litert"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "libLiteRt.so").write_bytes(b"no library")
    done = subprocess.run(
        [sys.executable, "-c", QUIET],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "is not LiteRT as this code knows it (2.3.0)" in done.stdout
