"""Run by another machine's Python: pictures' pixels by many pipelines, and a model's scores, as raw float32.

    python pixel_dump.py PICTURES PIPELINES MODEL OUT

PICTURES is a folder, PIPELINES a JSON object of `preprocessing` by name; OUT gets a file for each of them, the pictures
one behind the other. MODEL is a compiled form, whose scores for the last pictures' pixels of `demo` go to `scores`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

SCORED = 3
"""Pictures that the model is run on: emulated, each takes seconds."""


def main(pictures: Path, pipelines: Path, model: Path, out: Path) -> None:
    """Pillow and LiteRT are all that is needed. All in this process: an emulated Python can't start another."""
    from classifier.engines.litert_engine import CompiledModel
    from classifier.pictures.headers.inspection import inspect
    from classifier.pictures.headers.picture import ImageLimits
    from classifier.pictures.preprocessing import Preprocessing
    from classifier.pictures.render import render

    limits, data = ImageLimits(), [path.read_bytes() for path in sorted(pictures.iterdir())]
    for name, fields in json.loads(pipelines.read_text()).items():
        given = Preprocessing.from_json(fields, (None, None, None))
        arrays = [given.to_array(render(inspect(each, limits), given, limits).pixels) for each in data]
        (out / name).write_bytes(b"".join(map(bytes, arrays)))
        if name == "demo":
            compiled = CompiledModel(model.read_bytes(), 1)
            (out / "scores").write_bytes(b"".join(bytes(compiled.run(array)[0]) for array in arrays[-SCORED:]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
