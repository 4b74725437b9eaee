"""Write the model that serves at PLACE as a file: .keras, a SavedModel for TensorFlow Serving, or .tflite.

A SavedModel goes into a new numbered folder of OUT, as TensorFlow Serving wants it; its signature `serving_default` has
the names of the model's own input and output. Each is read back and compared with what is served, then gets its name.
"""

from __future__ import annotations

import json
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import Snapshot
from lifecycle import serving_options
from lifecycle.errors import ModelsError, PlaceError, UsageError
from lifecycle.faithful import LARGEST_DIFFERENCE
from lifecycle.place import find_place
from lifecycle.timeline import LOOK_S, Timeline, read_timeline

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from classifier.engines.keras_engine import TracedModel
    from lifecycle.console import Console

    type Array = NDArray[np.float32]

FORMS = ("keras", "savedmodel", "tflite")
READ_S = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", nargs="?", metavar="PLACE", help="s3://bucket/prefix or a stage")
    parser.add_argument("--as", dest="form", choices=FORMS, required=True, help="what to write")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="OUT", help="the file, or the SavedModel's base folder"
    )
    parser.add_argument("--version", metavar="VERSION", help="a version of `list`; by default the one that serves")
    parser.add_argument("--dry-run", action="store_true", help="make and check it, but keep nothing")


def run(options: argparse.Namespace, console: Console) -> int:
    """Export."""
    place = find_place(options.place)
    timeline = read_timeline(place)
    snapshot = timeline.named(options.version).snapshot(place.prefix) if options.version else timeline.view.newest
    if not isinstance(snapshot, Snapshot):
        raise PlaceError(f"there is nothing to export at {place.url} now")
    target = _target(options.out, options.form)
    console.progress("reading the model")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        written = Path(folder) / target.name
        if options.form == "tflite":
            version, difference = _write_tflite(timeline, snapshot, written)
        else:
            version, difference = _write_keras(timeline, snapshot, written, options.form, console)
        if not options.dry_run:
            written.rename(target)
    size = _size(target)
    document = {"version": version, "as": options.form, "out": str(target), "bytes": size, "dry_run": options.dry_run}
    apart = "" if difference is None else f", read back with a largest difference of {difference:.1e}"
    line = f"{version} as {options.form}{apart}"
    undo = f"rm -r {target}"
    lines = [f"Checked {line}"] if options.dry_run else [f"Wrote {target}: {line}", f"Undo     {undo}"]
    undone = {} if options.dry_run else {"undo": undo}
    console.result({**document, "largest_difference": difference, **undone}, lines)
    return 0


def _target(out: Path, form: str) -> Path:
    """Where it goes; nothing is overwritten."""
    if form == "savedmodel":
        numbers = [int(item.name) for item in out.glob("*") if item.name.isdecimal()] if out.is_dir() else []
        return out / str(max(numbers, default=0) + 1)
    if form == "keras" and out.suffix != ".keras":
        raise UsageError(f"{out}: Keras wants a name that ends in .keras")
    if out.exists():
        raise UsageError(f"{out} is there already")
    return out


def _write_tflite(timeline: Timeline, snapshot: Snapshot, path: Path) -> tuple[str, None]:
    """The compiled form, its digest checked against its report."""
    from classifier.engines.litert_engine import open_litert

    report = timeline.store.compiled.report_for(snapshot, timeline.view.reports, time.monotonic() + LOOK_S)
    if report is None or not report.usable:
        raise ModelsError(f"there is no compiled form: {report.reason if report else 'nothing was compiled yet'}")
    data = timeline.store.compiled.compiled_model(report, time.monotonic() + READ_S)
    open_litert(data, report)
    path.write_bytes(data)
    return report.fingerprint, None


def _write_keras(timeline: Timeline, snapshot: Snapshot, path: Path, form: str, console: Console) -> tuple[str, float]:

    from classifier.compiling.agreement import compared
    from classifier.engines.keras_engine import KerasEngine, load
    from classifier.engines.probes import answers, names, probe_arrays
    from classifier.phases import Phases

    bundle = timeline.store.bundles.read(snapshot, time.monotonic() + READ_S)
    model = load(bundle, Phases())
    console.progress(f"writing and reading back {form}")
    write = _write_keras_file if form == "keras" else _write_saved_model
    answer = _flat(model, write(model, path))
    probes = probe_arrays(model.serving.preprocessing, [])
    written, own = (answers(predict, probes) for predict in (answer, KerasEngine(model.call).predict))
    difference = compared(model.serving, written, own, names(len(probes))).largest_difference
    if not difference <= LARGEST_DIFFERENCE:
        raise ModelsError(f"refused: read back, its output differs by {difference:.2g} from what is served")
    return bundle.fingerprint, difference


def _write_keras_file(model: TracedModel, path: Path) -> Callable[[Array], Any]:
    import keras

    try:
        model.module.model.save(path)
        _name_public_initializers(path)
        again = keras.saving.load_model(path, compile=False)
    except (TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelsError(f"refused: today's Keras can't hold this model in a .keras file: {first}") from error
    return lambda picture: again(picture, training=False)


def _name_public_initializers(path: Path) -> None:
    """The loader's own initializers make zeros, which weights replace at once; Keras's file names Keras's."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    config = json.dumps(_with_zeros(json.loads(members["config.json"])))
    with zipfile.ZipFile(path, "w") as file:
        for name, data in (members | {"config.json": config.encode()}).items():
            file.writestr(name, data)


def _with_zeros(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_with_zeros(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "CountingZeros":
        return {"module": "keras.initializers", "class_name": "Zeros", "config": {}, "registered_name": None}
    return {name: _with_zeros(item) for name, item in value.items()}


def _write_saved_model(model: TracedModel, path: Path) -> Callable[[Array], Any]:
    import tensorflow as tf

    original = model.module.model
    name, outputs = original.inputs[0].name, original.output_names
    shape = (None, *original.input_shape[1:])
    module = tf.Module()
    module.model = original
    module.variables_kept = [variable.value for variable in original.variables]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name=name)])  # type: ignore[untyped-decorator]
    def serve(given: Any) -> dict[str, Any]:  # noqa: ANN401 - TensorFlow's tensors
        found = original(given, training=False)
        return dict(zip(outputs, found if isinstance(found, list | tuple) else [found], strict=True))

    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})
    extra = path / "assets.extra"
    extra.mkdir()
    (extra / "serving.json").write_bytes(serving_options.written_out(model.serving))
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]

    def answer(picture: Array) -> list[Any]:
        found = signature(**{name: tf.constant(picture)})
        return [found[output] for output in outputs]

    return answer


def _flat(model: TracedModel, answer: Callable[[Array], Any]) -> Callable[[Array], Array]:
    """The served outputs' numbers for a picture (1, height, width, channels), in whatever form the model wants it."""
    import numpy as np

    own = tuple(model.module.model.input_shape[1:])
    shape = (model.shape.height, model.shape.width, model.shape.channels)

    def flat(picture: Array) -> Array:
        if len(own) < 3:
            picture = picture.reshape(1, *model.serving.row)
        elif own != shape:
            picture = np.ascontiguousarray(picture.transpose(0, 3, 1, 2))
        found = answer(picture)
        found = found if isinstance(found, list | tuple) else [found]
        return np.concatenate([np.asarray(found[index], np.float32).reshape(-1) for index in model.outputs])

    return flat


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
    return path.stat().st_size if path.exists() else 0
