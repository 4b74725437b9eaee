"""TensorFlow graphs without Keras layers, from a SavedModel or a frozen GraphDef: published in compiled form only.

In the bundle, `architecture.json` says `{"compiled_only": true}` and what the graph was, and the object in the role of
the weights is the graph itself, as one file. So the model has a version and its parts are pinned like any other's, but
only LiteRT can serve it. TensorFlow's own answers are what the compiled form is held against.
"""

from __future__ import annotations

import io
import json
import tarfile
from copy import replace
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING, Any

from classifier.bundles.serving import OutputShape, parse_preprocessing, stated_outputs
from classifier.engines import probes
from classifier.engines.keras_engine import TracedModel
from classifier.phases import Phases
from lifecycle import source as sources
from lifecycle import tensorflow_graph
from lifecycle.errors import ModelsError
from lifecycle.input_range import seen
from lifecycle.outputs import output_facts, settled
from lifecycle.preparing import (
    Prepared,
    answers,
    check_input,
    compiled_facts,
    keras_engine,
    litert_engine,
    states_numbers,
    warn_of_one_label,
)
from lifecycle.release import Release, as_bundle
from lifecycle.serving_options import written_out
from lifecycle.traffic.reference import record_pictures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from classifier.bundles.serving import ModelShape
    from lifecycle.console import Console
    from lifecycle.serving_options import Sample
    from lifecycle.source import GraphSource


def prepare(
    source: GraphSource,
    asked: bytes,
    samples: Sequence[Sample],
    quantize: Sequence[str],
    console: Console,
    *,
    yes: bool = False,
) -> Prepared:
    """Load the graph by TensorFlow, compile it, and hold that against it. ModelsError if it can't be served so."""
    from classifier.compiling.compile_job import FORM_FILES
    from classifier.compiling.compiler import compile_traced

    console.progress(
        f"loading the {source.kind} by TensorFlow: it has no Keras layers, only its compiled form can serve"
    )
    call, shape = _loaded(source, asked)
    pictures = [sample.data for sample in samples]
    model = _traced(call, shape, asked, pictures, console)
    numbers = seen(model.serving.preprocessing, None, None)
    check_input(model, numbers, stated=states_numbers(asked), decided=False, yes=yes, console=console)
    files = {
        "architecture.json": json.dumps(_stand_in(source, shape), indent=1).encode(),
        "model.weights.h5": _as_one_file(source.path),
        "serving.json": written_out(model.serving),
    }
    console.progress("compiling the fast path and comparing it with TensorFlow")
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
        "outputs": [output_facts(head) for head in model.serving.heads],
        "input": str(numbers),
        "bytes": sum(map(len, files.values())),
        "agreement": {"source": _agreement(report, len(samples)), "compiled": compiled_facts(report)},
        "tools": dict(report.versions),
    }
    engines = {"tensorflow": keras_engine(model.call)} | litert_engine(compiled)
    shown = [answers(sample, model.serving, engines) for sample in samples]
    warn_of_one_label(samples, shown, model.serving, console)
    release = Release(files=files, source=source.text, facts=facts, report=report, compiled=compiled)
    reference = record_pictures(model.serving, list(engines.values())[-1], samples, None, console)
    return Prepared(release=release, samples=shown, reference=reference)


def _loaded(source: GraphSource, asked: bytes) -> tuple[tensorflow_graph.Call, ModelShape]:
    """The graph with the one result that the source names, or with those that serving.json names, in one row."""
    import tensorflow as tf

    names = [name for name in stated_outputs(asked) if name]
    if not names:
        return tensorflow_graph.load(source)
    signature = (source.output or tensorflow_graph.SIGNATURE).partition(":")[0]
    wanted = [name if source.kind == "GraphDef" else f"{signature}:{name}" for name in names]
    found = [tensorflow_graph.load(with_fields(source, output=one)) for one in wanted]
    shapes = [shape for _, shape in found]
    outputs = tuple(OutputShape(name, shape.units, None) for name, shape in zip(names, shapes, strict=True))

    def call(picture: Any) -> Any:  # noqa: ANN401 - TensorFlow's tensors
        return tf.concat([tf.reshape(tf.cast(one(picture), tf.float32), (1, -1)) for one, _ in found], 1)

    return call, replace(shapes[0], units=sum(shape.units for shape in shapes), outputs=outputs)


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
        "left_out": compared["left_out"],
        "arrays": 0,
    }


def _stand_in(source: GraphSource, shape: ModelShape) -> dict[str, Any]:
    size = [shape.height, shape.width, shape.channels]
    names = {"input": source.input, "output": source.output}
    return {"compiled_only": True, "source": source.kind, **names, "input_shape": size, "units": shape.units}


def _traced(
    call: tensorflow_graph.Call, shape: ModelShape, asked: bytes, pictures: Sequence[bytes], console: Console
) -> TracedModel:
    """The graph as the compiler wants it: one picture of fixed size in, its scores out, which are known."""
    import tensorflow as tf

    preprocessing = parse_preprocessing(asked, shape)
    module = tf.Module()
    module.pruned = call

    @tf.function(input_signature=[tf.TensorSpec(preprocessing.shape, tf.float32)])  # type: ignore[untyped-decorator]
    def serve(picture: Any) -> Any:  # noqa: ANN401 - TensorFlow's tensors
        return tf.cast(tf.reshape(call(picture), (1, shape.units)), tf.float32)

    module.serve = serve
    try:
        concrete = serve.get_concrete_function()
        engine = keras_engine(lambda picture: concrete(tf.constant(picture)))
        rows = probes.answers(engine.predict, probes.probe_arrays(preprocessing, pictures))
    except (tf.errors.OpError, ValueError) as error:
        raise ModelsError(f"refused: the graph can't be run: {tensorflow_graph.first_line(error)}") from error
    shape, serving, doubts = settled(shape, rows, asked)
    for doubt in doubts:
        console.warn(doubt)
    return TracedModel(lambda picture: concrete(tf.constant(picture)), module, serving, shape)


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
