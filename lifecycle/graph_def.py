"""Frozen GraphDefs: reading one, what it can be asked for and what it gives, and its learning phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lifecycle.errors import ModelsError

if TYPE_CHECKING:
    from pathlib import Path

LEARNING_PHASE = "keras_learning_phase"
"""The placeholder that told Keras 2 on TensorFlow 1 whether it trains (backend/tensorflow_backend.py)."""
MOST_SHOWN = 10
_NO_RESULTS = ("Const", "Placeholder", "NoOp", "Assert", "SaveV2", "VarHandleOp", "VariableV2")


def read(path: Path) -> Any:  # noqa: ANN401 - a GraphDef
    """The graph; ModelsError if the file is none."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ModelsError(f"refused: {path.name} is no GraphDef: {error}") from error
    if not graph.node:
        raise ModelsError(f"refused: {path.name} is no GraphDef: it has no operations")
    return graph


def advice(path: Path) -> str:
    """What to name with --input and --output: the graph's placeholders and the operations that nothing else takes."""
    graph = read(path)
    taken = {name.lstrip("^").split(":")[0] for node in graph.node for name in node.input}
    placeholders = [
        _described(node) for node in graph.node if node.op.startswith("Placeholder") and not _is_phase(node)
    ]
    last = [f"{node.name} ({node.op})" for node in graph.node if node.name not in taken and node.op not in _NO_RESULTS]
    return (
        f"name its tensors with --input, of {_listed(placeholders)}, and --output, of {_listed(last)} or what comes "
        "before them"
    )


def not_training(graph: Any) -> dict[str, Any]:  # noqa: ANN401 - a GraphDef
    """What to import the graph with so that it predicts: False for each learning phase."""
    import tensorflow as tf

    return {f"{node.name}:0": tf.constant(False) for node in graph.node if _is_phase(node)}


def _is_phase(node: Any) -> bool:  # noqa: ANN401 - a NodeDef
    return str(node.op).startswith("Placeholder") and str(node.name).rpartition("/")[2].startswith(LEARNING_PHASE)


def _described(node: Any) -> str:  # noqa: ANN401 - a NodeDef
    sizes = [str(dim.size) if dim.size > 0 else "?" for dim in node.attr["shape"].shape.dim]
    return f"{node.name} ({', '.join(sizes) or 'of any shape'})"


def _listed(texts: list[str]) -> str:
    more = f" and {len(texts) - MOST_SHOWN} more" if len(texts) > MOST_SHOWN else ""
    return (", ".join(texts[:MOST_SHOWN]) or "none") + more
