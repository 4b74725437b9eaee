"""Loading takes the weights once in memory, and says what it will take before it takes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from classifier.errors import ModelTooLargeError
from classifier.keras_json.architecture import read_architecture
from classifier.keras_weights.loading import load_model

pytestmark = pytest.mark.tensorflow
UNITS = 2000
WEIGHTS_BYTES = (64 * 64 * 3 + 1) * UNITS * 4
PROGRAM = """
import mmap, sys
from pathlib import Path
from classifier.engines.keras_engine import _import_keras
from classifier.keras_json.architecture import read_architecture
from classifier.keras_weights.loading import load_model

def held(name):
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(name))

folder = Path(sys.argv[1])
_import_keras()
import h5py
before = held("VmRSS")
with open(folder / "model.weights.h5", "rb") as file:
    weights = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
architecture = read_architecture((folder / "architecture.json").read_bytes())
model = load_model(architecture, weights)
print(held("VmHWM") - before, float(abs(model.weights[0].value).numpy().sum()))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 98 MB in one array, as Keras writes it; packed weights of the same shapes beside it."""
    import h5py
    import keras

    folder = tmp_path_factory.mktemp("large")
    model = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Flatten(), keras.layers.Dense(UNITS)])
    (folder / "architecture.json").write_text(model.to_json())
    model.save_weights(folder / "model.weights.h5")
    kernel, bias = model.get_weights()
    (folder / "sum").write_text(json.dumps(float(np.abs(kernel).sum())))
    with h5py.File(folder / "packed.weights.h5", "w") as file:
        kept = file.create_group("layers/dense/vars")
        kept.create_dataset("0", data=np.where(np.arange(len(kernel))[:, None] < 2000, kernel, 0), compression="gzip")
        kept.create_dataset("1", data=bias)
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_mapped_file_takes_its_size_once(large: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(large)], capture_output=True, text=True, check=True)
    taken, total = map(float, done.stdout.split())
    assert WEIGHTS_BYTES < taken < 2 * WEIGHTS_BYTES  # what Keras itself takes for a first layer is in it
    assert total == pytest.approx(json.loads((large / "sum").read_text()), rel=1e-5)


def test_what_the_variables_will_take_is_said_before_any_is_made(large: Path) -> None:
    """Packed, a file says little of it."""
    packed = (large / "packed.weights.h5").read_bytes()
    architecture = read_architecture((large / "architecture.json").read_bytes())
    asked: list[int] = []

    def refuse(size: int) -> None:
        asked.append(size)
        raise ModelTooLargeError("no room")

    with pytest.raises(ModelTooLargeError, match="no room"):
        load_model(architecture, packed, refuse)
    assert asked == [WEIGHTS_BYTES]
    assert len(packed) < WEIGHTS_BYTES / 4


def test_a_model_that_is_dropped_is_gone_when_the_next_one_is_loaded(large: Path) -> None:
    """Keras models are circles: the garbage collector lets go of them, if it was not told to keep what there is."""
    import gc
    import weakref

    from classifier.engines import keras_engine

    architecture = read_architecture((large / "architecture.json").read_bytes())
    dropped = weakref.ref(load_model(architecture, large / "model.weights.h5"))
    keras_engine._import_keras()
    gc.collect()
    assert dropped() is None
