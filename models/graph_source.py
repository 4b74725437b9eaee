"""TensorFlow graphs without Keras layers, from a SavedModel or a frozen GraphDef: published in compiled form only.

In the bundle, `architecture.json` says `{"compiled_only": true}` and what the graph was, and the object in the role of
the weights is the graph itself, as one file. So the model has a version and its parts are pinned like any other's, but
only LiteRT can serve it. TensorFlow's own answers are what the compiled form is held against.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from copy import replace
from typing import TYPE_CHECKING, Any

from classifier.engines.keras_engine import TracedModel
from classifier.phases import Phases
from classifier.serving import ModelShape, parse_serving
from models import source as sources
from models.errors import ModelsError, UsageError
from models.publish import Prepared, answers, compiled_facts, keras_engine, litert_engine
from models.release import Release, as_bundle
from models.serving_options import written_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from models.console import Console
    from models.serving_options import Sample
    from models.source import GraphSource

SIGNATURE = "serving_default"


def prepare(
    source: GraphSource, asked: bytes, samples: Sequence[Sample], quantize: Sequence[str], console: Console
) -> Prepared:
    """Load the graph by TensorFlow, compile it, and hold that against it. ModelsError if it can't be served so."""
    from classifier.compile_job import FORM_FILES
    from classifier.compiler import compile_traced

    console.progress(
        f"loading the {source.kind} by TensorFlow: it has no Keras layers, only its compiled form can serve"
    )
    call, shape = _load_graph_def(source) if source.kind == "GraphDef" else _load_saved_model(source)
    model = _traced(call, shape, asked)
    files = {
        "architecture.json": json.dumps(_stand_in(source, shape), indent=1).encode(),
        "model.weights.h5": _as_one_file(source.path),
        "serving.json": written_out(model.serving),
    }
    console.progress("compiling the fast path and comparing it with TensorFlow")
    pictures = [sample.data for sample in samples]
    report, forms = compile_traced(as_bundle(files), model, pictures, quantize, Phases())
    if not report.usable:
        raise ModelsError(f"refused: only its compiled form could serve this model, and that can't: {report.reason}")
    report = _saying_so(report, source)
    compiled = {FORM_FILES[form]: data for form, data in forms.items()}
    facts = {
        "action": "publish",
        "verified": True,
        "compiled_only": True,
        "writer": source.writer,
        "source_sha256": sources.sha256_of(source.path),
        "labels": len(model.serving.labels),
        "bytes": sum(map(len, files.values())),
        "agreement": {"source": _agreement(report, len(samples)), "compiled": compiled_facts(report)},
        "tools": dict(report.versions),
    }
    engines = {"tensorflow": keras_engine(model.call)} | litert_engine(compiled)
    shown = [answers(sample, model.serving, engines) for sample in samples]
    release = Release(files=files, source=source.text, facts=facts, report=report, compiled=compiled)
    return Prepared(release=release, samples=shown)


def _saying_so(report: Any, source: GraphSource) -> Any:  # noqa: ANN401 - a Report
    measured = {**report.measured, "compiled_only": True, "source": source.text}
    return replace(report, measured=measured)


def _agreement(report: Any, samples: int) -> dict[str, Any]:  # noqa: ANN401 - a Report
    compared = report.measured["float32"]
    return {
        "by": "TensorFlow, which runs the graph itself",
        "probes": report.measured["probes"] - samples,
        "samples": samples,
        "largest_difference": compared["largest_difference"],
        "top_label_agreement": compared["top_label_agreement"],
        "arrays": 0,
    }


def _stand_in(source: GraphSource, shape: ModelShape) -> dict[str, Any]:
    size = [shape.height, shape.width, shape.channels]
    names = {"input": source.input, "output": source.output}
    return {"compiled_only": True, "source": source.kind, **names, "input_shape": size, "units": shape.units}


def _quiet() -> None:
    """TensorFlow as the engine sets it, and without its advice on what it calls old."""
    from classifier.engines.keras_engine import TENSORFLOW_ENVIRONMENT

    for name, value in TENSORFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")


type Call = Callable[[Any], Any]


def _load_saved_model(source: GraphSource) -> tuple[Call, ModelShape]:
    """One signature of a SavedModel, its variables made constants."""
    import tensorflow as tf

    name = source.output or SIGNATURE
    # TensorFlow 1's way: tf.saved_model.load refuses what Keras 1.15 to 2.8 saved with an optimizer.
    with (
        tf.Graph().as_default(),
        tf.compat.v1.Session() as session,
    ):
        try:
            found = tf.compat.v1.saved_model.load(session, ["serve"], str(source.path))
        except (OSError, RuntimeError, ValueError) as error:
            raise ModelsError(f"refused: TensorFlow can't load {source.path}: {error}") from error
        signatures = dict(found.signature_def)
        if name not in signatures:
            raise UsageError(f"{source.path} has no signature {name!r}, but {', '.join(sorted(signatures))} (--output)")
        given, result = (_only(side, name) for side in (signatures[name].inputs, signatures[name].outputs))
        graph = tf.compat.v1.graph_util.convert_variables_to_constants(
            session, session.graph.as_graph_def(add_shapes=True), [result.split(":")[0]]
        )
    return _pruned(graph, given, result)


def _only(tensors: Any, signature: str) -> str:  # noqa: ANN401 - a protocol buffer's map
    if len(tensors) != 1:
        names = ", ".join(sorted(tensors))
        raise ModelsError(
            f"refused: signature {signature!r} has {len(tensors)} tensors ({names}), a classifier has one"
        )
    return str(next(iter(tensors.values())).name)


def _load_graph_def(source: GraphSource) -> tuple[Call, ModelShape]:
    import tensorflow as tf
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(source.path.read_bytes())
    except DecodeError as error:
        raise ModelsError(f"refused: {source.path.name} is no GraphDef: {error}") from error
    return _pruned(graph, _tensor(source.input), _tensor(source.output))


def _tensor(name: str | None) -> str:
    """A tensor's name; an operation's stands for its first output."""
    return name if name and ":" in name else f"{name}:0"


def _pruned(graph: Any, given: str, result: str) -> tuple[Call, ModelShape]:  # noqa: ANN401 - a GraphDef
    """The part of the graph between two tensors as a function, and what it takes and gives."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    try:
        whole = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
        pruned = whole.prune(whole.graph.get_tensor_by_name(given), whole.graph.get_tensor_by_name(result))
        # Inlined: functions within functions, named as Keras 3 does, are a circle to TensorFlow Lite's converter.
        call = convert_variables_to_constants_v2(pruned, lower_control_flow=False, aggressive_inlining=True)
    except (KeyError, ValueError, tf.errors.OpError) as error:
        raise ModelsError(f"refused: {given} to {result} can't be cut out of the graph: {error}") from error
    shape, dtype = call.inputs[0].shape, call.inputs[0].dtype
    if dtype != tf.float32 or (shape.rank is not None and shape.rank != 4):
        raise ModelsError(f"refused: {given} is {dtype.name} of shape {shape}, expected float32 pictures of rank 4")
    sizes = shape.as_list() if shape.rank else [None] * 4
    return call, ModelShape(sizes[1], sizes[2], sizes[3] or 3, _units(call, sizes), None)


def _units(call: Any, sizes: list[int | None]) -> int:  # noqa: ANN401 - a concrete function
    """How many scores it gives; asked of the graph itself where its shapes don't tell."""
    import numpy as np
    import tensorflow as tf

    known = call.outputs[0].shape.as_list() if call.outputs[0].shape.rank else [None]
    if known[-1]:
        return int(known[-1])
    black = np.zeros((1, sizes[1] or 224, sizes[2] or 224, sizes[3] or 3), np.float32)
    return int(np.asarray(call(tf.constant(black))).size)


def _traced(call: Call, shape: ModelShape, asked: bytes) -> TracedModel:
    """The graph as the compiler wants it: one picture of fixed size in, its scores out."""
    import tensorflow as tf

    serving = parse_serving(asked, None, shape)
    module = tf.Module()
    module.pruned = call

    @tf.function(input_signature=[tf.TensorSpec(serving.preprocessing.shape, tf.float32)])  # type: ignore[untyped-decorator]
    def serve(picture: Any) -> Any:  # noqa: ANN401 - TensorFlow's tensors
        return tf.reshape(call(picture), (1, shape.units))

    module.serve = serve
    concrete = serve.get_concrete_function()
    model = TracedModel(lambda picture: concrete(tf.constant(picture)), module, serving, shape)
    model.answer_once()
    return model


def _as_one_file(path: Path) -> bytes:
    """The file itself; of a folder, a tar without times and owners, so that the same model has the same version."""
    if path.is_file():
        return path.read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for item in sorted(found for found in path.rglob("*") if found.is_file()):
            info = tarfile.TarInfo(item.relative_to(path).as_posix())
            info.size = item.stat().st_size
            with item.open("rb") as file:
                tar.addfile(info, file)
    return buffer.getvalue()
