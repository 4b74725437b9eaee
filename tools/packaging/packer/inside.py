"""Run inside a built package, by an interpreter that sees only it and the standard library. Prints one line of JSON."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

SCORES_AGREE = 1e-5


def main(root: Path, demo: Path) -> None:
    """Import the fast path, unpack, load the bundle in `demo`, compile it, classify a sample with both engines."""
    sys.path.insert(0, str(root))
    import handler  # noqa: F401  (it makes the dependencies importable)
    from classifier.bootstrap import dependencies

    fast = _seconds(_import_fast_path)
    if heavy := sorted({"numpy", "tensorflow"} & sys.modules.keys()):
        raise SystemExit(f"the fast path imported {' and '.join(heavy)}")
    unpack_ms = dependencies.ensure_tensorflow()
    imported = _seconds(_import_tensorflow)
    difference = _run_model(demo)
    _refuse_strangers(root, Path(os.environ["TMPDIR"]))
    print(json.dumps({"fast_import_s": fast, "unpack_ms": unpack_ms, "import_s": imported, "difference": difference}))


def _seconds(act: Any) -> float:  # noqa: ANN401
    started = time.perf_counter()
    act()
    return round(time.perf_counter() - started, 3)


def _import_fast_path() -> None:
    import ai_edge_litert
    import PIL.Image
    import zstandard

    PIL.Image.init()
    ai_edge_litert.__version__  # noqa: B018
    zstandard.ZstdDecompressor()


def _import_tensorflow() -> None:
    import keras  # noqa: F401
    import tensorflow  # noqa: F401


def _run_model(demo: Path) -> float:
    """Classify a sample with the demo model in both engines; how far their scores are from plain Keras at most."""
    import numpy as np

    from classifier.bundles.bundle import Snapshot
    from classifier.bundles.reader import Bundle
    from classifier.compiling import compiler
    from classifier.engines.keras_engine import open_keras
    from classifier.engines.litert_engine import open_litert
    from classifier.litert_c import KNOWN_VERSIONS
    from classifier.pictures.decode import decode
    from classifier.pictures.headers.inspection import inspect
    from classifier.pictures.headers.picture import ImageLimits
    from classifier.pictures.preprocessing import Preprocessing

    names = {"architecture": "architecture.json", "weights": "model.weights.h5", "serving": "serving.json"}
    parts: Any = {role: (demo / name).read_bytes() for role, name in names.items()}
    bundle = Bundle(Snapshot((), 0.0), parts, "demo")
    sample = sorted((demo / "samples").rglob("*.jpg"))[0]
    report, files = compiler.compile_bundle(bundle, [sample.read_bytes()])
    if (version := report.versions["ai_edge_litert"]) not in KNOWN_VERSIONS:
        raise SystemExit(f"ai-edge-litert {version}: classifier/litert_c.py knows {', '.join(KNOWN_VERSIONS)}")
    expected = _plain_keras(demo, sample)
    differences = []
    for loaded in (open_keras(bundle), open_litert(files["float32"], report)):
        limits, spec = ImageLimits(), loaded.serving.preprocessing
        picture = decode(inspect(sample.read_bytes(), limits), spec, limits)
        scores = loaded.serving.scores(loaded.engine.predict(spec.to_array(picture.pixels)))
        differences.append(float(np.abs(np.asarray(scores) - expected).max()))
        for pixels in ("tensorflow", "opencv"):  # the parts of Pillow that only their pipelines use
            other = Preprocessing.from_json({"size": list(spec.size), "pixels": pixels}, (None, None, None))
            if len(decode(inspect(sample.read_bytes(), limits), other, limits).pixels) % math.prod(other.shape):
                raise SystemExit(f"{sample.name}: no pixels of {pixels}")
    if not max(differences) < SCORES_AGREE:
        raise SystemExit(f"{sample.name}: the engines' scores differ from plain Keras by {differences}")
    return max(differences)


def _plain_keras(demo: Path, sample: Path) -> Any:  # noqa: ANN401  (numpy's array)
    """The sample's scores as Keras's own functions give them: load_img, model_from_json, load_weights, predict."""
    import keras

    model = keras.models.model_from_json((demo / "architecture.json").read_text())
    model.load_weights(demo / "model.weights.h5")
    spec = json.loads((demo / "serving.json").read_text())["preprocessing"]
    image = keras.utils.load_img(
        sample, target_size=model.input_shape[1:3], interpolation=spec.get("filter", "bilinear")
    )
    pixels = keras.utils.img_to_array(image)[None]
    return model.predict(keras.applications.imagenet_utils.preprocess_input(pixels, mode=spec["scale"]), verbose=0)[0]


def _refuse_strangers(*homes: Path) -> None:
    """Every module must come from the package, from what it unpacked, or from the standard library."""
    allowed = tuple(str(home) for home in (*homes, Path(os.__file__).parent))
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and file != __file__ and not str(file).startswith(allowed):
            raise SystemExit(f"{name} comes from {file}, which is not in the package")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
