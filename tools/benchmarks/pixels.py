"""What the pixels of TensorFlow and OpenCV cost over Keras's: processor time of decoding and resizing one picture.

Several fresh processes for each picture; in each all pipelines take turns, so that a busy moment meets all alike.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from local.launch import PROJECT
from tools.benchmarks.code import FUNCTIONS
from tools.benchmarks.result import Options, Result, median
from tools.benchmarks.sandboxes import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterator

PIPELINES: dict[str, dict[str, Any]] = {
    "keras": {"filter": "bilinear"},
    "tensorflow": {"pixels": "tensorflow", "filter": "bilinear"},
    "tensorflow_nearest": {"pixels": "tensorflow", "filter": "nearest"},
    "tensorflow_area": {"pixels": "tensorflow", "filter": "area"},
    "opencv": {"pixels": "opencv", "filter": "linear"},
}
SIZE = [224, 224]
LARGE = (4000, 3000)


def run(options: Options) -> Result:
    """Medians by picture and pipeline, and their ratios to Keras's bilinear resize of the same picture."""
    processes = options.count(7)
    medians, ratios = {}, {}
    for name, data, rounds in _pictures(quick=options.quick):
        path = options.work / f"pixels-{name}"
        path.write_bytes(data)
        found = [_measured(str(path), rounds, options) for _ in range(processes)]
        for pipeline in PIPELINES:
            medians[f"{name}_{pipeline}_first_cpu_ms"] = median(one[pipeline]["first"] for one in found)
            for what, end in (("warm", ""), ("input", "_input")):
                own, keras = ([median(one[each][what]) for one in found] for each in (pipeline, "keras"))
                medians[f"{name}_{pipeline}{end}_cpu_ms"] = median(own)
                if pipeline != "keras":
                    ratios[f"{name}_{pipeline}{end}_over_keras"] = median(
                        a / b for a, b in zip(own, keras, strict=True)
                    )
    notes = [f"{SAMPLE.name} to {SIZE[0]} x {SIZE[1]}, as JPEG, gray JPEG, PNG and JPEG of {LARGE[0]} x {LARGE[1]}"]
    return Result(name="pixels", runs=processes, medians=medians, ratios=ratios, notes=notes)


def _pictures(*, quick: bool) -> Iterator[tuple[str, bytes, int]]:
    """The sample as it is, and others made of it; how often each is resized in a process."""
    from PIL import Image

    image = Image.open(SAMPLE)
    rounds = 3 if quick else 60
    yield "jpeg", SAMPLE.read_bytes(), rounds
    yield "gray", _encoded(image.convert("L"), "JPEG"), rounds
    yield "png", _encoded(image, "PNG"), rounds
    if not quick:
        yield "large", _encoded(image.resize(LARGE, Image.Resampling.BICUBIC), "JPEG"), 5


def _encoded(image: Any, format_: str) -> bytes:  # noqa: ANN401  (Pillow's image)
    file = io.BytesIO()
    image.save(file, format_)
    return file.getvalue()


def _measured(path: str, rounds: int, options: Options) -> dict[str, dict[str, Any]]:
    pipelines = json.dumps({name: {"size": SIZE, **fields} for name, fields in PIPELINES.items()})
    command = [*options.wrap, sys.executable, str(FUNCTIONS / "pixels.py"), path, pipelines, str(rounds)]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, text=True, check=True)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found
