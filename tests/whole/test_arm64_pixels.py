"""Pixels and scores of an arm64 machine, emulated, are those of this one. Five minutes: FULL=1 runs it."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from classifier.pictures.preprocessing import ANTIALIASED, FILTERS
from local.emulator import CPU, PYTHON, EmulatorError, emulator
from local.launch import PROJECT
from tests.support import pixel_dump
from tests.support.demo import BUNDLE, SAMPLES
from tests.support.pixel_pictures import pixel_pictures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.skipif(not os.environ.get("FULL"), reason="minutes, and Debian's packages are fetched: FULL=1"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="compares arm64 with x86-64"),
]
SIZE = [96, 80]
WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
LIBRARIES = ("pillow", "ai-edge-litert")
SCORES = 1e-5
FUSED = 1e-4
"""Of 255: Pillow sums floats in C, where arm64's compiler multiplies and adds in one rounding."""


def pipelines() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every filter and every resize, and what is done to the numbers."""
    for pixels, filters in FILTERS.items():
        for name in filters:
            color = {"color": "bgr"} if pixels == "opencv" else {}
            yield f"{pixels} {name}", {"pixels": pixels, "filter": name, **color}
    for name in ANTIALIASED:
        yield f"tensorflow {name} antialias", {"pixels": "tensorflow", "filter": name, "antialias": True}
    for pixels, resize, name in (
        *(("tensorflow", resize, name) for resize in ("crop", "pad", "pad-resize") for name in ("bilinear", "nearest")),
        *(("keras", resize, "lanczos") for resize in ("crop", "pad")),
    ):
        yield f"{pixels} {name} {resize}", {"pixels": pixels, "filter": name, "resize": resize}
    plain = {"pixels": "tensorflow", "filter": "bilinear"}
    for scale in ("unit", "tf", "caffe", "torch"):
        yield f"tensorflow bilinear {scale}", {**plain, "scale": scale}
    yield "tensorflow bilinear gray", {**plain, "color": "grayscale"}
    yield "tensorflow bilinear resize_to", {**plain, "resize_to": [113, 101]}
    yield "tensorflow bilinear per_image", {**plain, "standardize": "per_image"}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples and the pictures of all kinds in one folder, and the pipelines beside it."""
    folder = tmp_path_factory.mktemp("arm64")
    (folder / "pictures").mkdir()
    given = {**pixel_pictures(), **{path.name: path.read_bytes() for path in SAMPLES}}
    for index, data in enumerate(given.values()):
        (folder / "pictures" / f"{index:03}").write_bytes(data)
    spec = {name: {"size": SIZE, **fields} for name, fields in pipelines()}
    demo = json.loads((BUNDLE / "serving.json").read_text())["preprocessing"]
    (folder / "pipelines.json").write_text(json.dumps({**spec, "demo": demo}))
    return folder


def dumped(asked: Path, out: Path, *python: str, environment: dict[str, str]) -> dict[str, np.ndarray[Any, Any]]:
    """What the dump of that Python holds, by pipeline."""
    out.mkdir()
    (model,) = (BUNDLE / "compiled").glob("*/model.tflite")
    given = map(str, (asked / "pictures", asked / "pipelines.json", model, out))
    command = [*python, "-B", str(pixel_dump.__file__), *given]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.name: np.frombuffer(path.read_bytes(), np.float32) for path in out.iterdir()}


def arm64_libraries(folder: Path) -> Path:
    """The pinned wheels for arm64, unpacked."""
    pip = shutil.which("pip3") or shutil.which("pip")
    if pip is None:
        pytest.skip("needs pip, which fetches wheels for arm64")
    pinned = (PROJECT / "requirements-arm64.txt").read_text()
    names = [re.search(rf"^{name}==\S+", pinned, re.MULTILINE) for name in LIBRARIES]
    platforms = [part for name in WHEELS for part in ("--platform", name)]
    flags = ["--only-binary", ":all:", "--no-deps", "--quiet", "--implementation", "cp", "--python-version", "3.13"]
    wanted = [found[0] for found in names if found]
    assert len(wanted) == len(LIBRARIES)
    subprocess.run([pip, "install", *platforms, *flags, "--target", str(folder), *wanted], check=True)
    return folder


def test_pixels_and_scores_are_those_of_this_machine(asked: Path, tmp_path: Path) -> None:
    try:
        qemu, root = emulator()
    except EmulatorError as error:
        pytest.skip(str(error))
    libraries = arm64_libraries(tmp_path / "libraries")
    path = {"PYTHONPATH": os.pathsep.join((str(PROJECT), str(libraries)))}
    emulated = (str(qemu), "-cpu", CPU, "-L", str(root), str(root / "usr" / "bin" / PYTHON), "-S")
    theirs = dumped(asked, tmp_path / "theirs", *emulated, environment=path)
    ours = dumped(asked, tmp_path / "ours", sys.executable, environment={"PYTHONPATH": str(PROJECT)})
    assert theirs.keys() == ours.keys() == {"scores", *json.loads((asked / "pipelines.json").read_text())}
    differences = {
        name: (float(np.abs(theirs[name] - mine).max()), int((theirs[name] != mine).sum()), len(mine))
        for name, mine in ours.items()
    }
    for name, (most, unequal, numbers) in differences.items():
        print(f"{name}: largest difference {most:.2g}, {unequal} of {numbers} numbers differ")
    allowed = {name: SCORES if name == "scores" else FUSED if "antialias" in name else 0.0 for name in ours}
    assert {name: found for name, found in differences.items() if not found[0] <= allowed[name]} == {}
