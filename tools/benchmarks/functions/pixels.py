"""Decodes and resizes one picture by several pipelines in turns; prints milliseconds of the processor as JSON."""

import json
import sys
import time
from pathlib import Path

from classifier.pictures.decode import decode
from classifier.pictures.headers.inspection import inspect
from classifier.pictures.headers.picture import ImageLimits
from classifier.pictures.preprocessing import Preprocessing

WARM_UP = 2


def main(path: str, pipelines: str, rounds: str) -> None:
    """Measure each of the pipelines, {name: fields of serving.json's `preprocessing`}, `rounds` times, after a few."""
    limits, data = ImageLimits(), Path(path).read_bytes()
    specs = {name: Preprocessing.from_json(given, (None, None, None)) for name, given in json.loads(pipelines).items()}
    took: dict[str, list[float]] = {name: [] for name in specs}
    for _ in range(WARM_UP + int(rounds)):
        for name, spec in specs.items():
            picture = inspect(data, limits)
            started = time.process_time_ns()
            decode(picture, spec, limits)
            took[name].append((time.process_time_ns() - started) / 1e6)
    print(json.dumps({name: {"first": each[0], "warm": each[WARM_UP:]} for name, each in took.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
