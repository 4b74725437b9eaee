"""Decodes and resizes one picture by several pipelines in turns; prints milliseconds of the processor as JSON.

`input` is until the model's input is there: TensorFlow's pixels are made as floats, the others are turned into them.
"""

import json
import resource
import sys
import time
from pathlib import Path

from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from classifier.pictures.preprocessing import Preprocessing

WARM_UP = 2


def _ms() -> float:
    """The processor's time, that of processes for what is decoded apart included."""
    apart = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time_ns() / 1e6 + (apart.ru_utime + apart.ru_stime) * 1e3


def main(path: str, pipelines: str, rounds: str) -> None:
    """Measure each of the pipelines, {name: fields of serving.json's `preprocessing`}, `rounds` times, after a few."""
    limits, data = ImageLimits(), Path(path).read_bytes()
    specs = {name: Preprocessing.from_json(given, (None, None, None)) for name, given in json.loads(pipelines).items()}
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in specs}
    for _ in range(WARM_UP + int(rounds)):
        for name, spec in specs.items():
            picture = inspect(data, limits)
            started = _ms()
            pixels = decode(picture, spec, limits).pixels
            resized = _ms()
            spec.to_array(pixels)
            took[name].append((resized - started, _ms() - started))
    said = {}
    for name, each in took.items():
        warm, whole = zip(*each[WARM_UP:], strict=True)
        said[name] = {"first": each[0][0], "warm": warm, "input": whole}
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
