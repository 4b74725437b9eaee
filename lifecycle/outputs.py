"""What a model's numbers are, settled before it is published: found by probing, confirmed, or asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.bundles.scores import OUTPUTS
from classifier.bundles.serving import parse_serving, stated_outputs
from classifier.engines.output_kind import contradiction, judged
from lifecycle.errors import ModelsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from classifier.bundles.scores import Head
    from classifier.bundles.serving import ModelShape, OutputShape, Serving

KINDS = tuple(name for name in OUTPUTS if name != "linear")
"""What --scores takes."""


def settled(shape: ModelShape, rows: NDArray[np.float32], asked: bytes) -> tuple[ModelShape, Serving, list[str]]:
    """What a model's outputs are, how they are served, and what there is to doubt; rows are its answers to probes.

    ModelsError where probes, last layer and loss leave it open or contradict each other, and nobody has said it; and
    where what was said can't be: probabilities beyond 0 and 1.
    """
    stated = stated_outputs(asked)
    shape = judged(shape, rows, stated)
    if open_ := next((head for head in shape.heads if head.output is None), None):
        name = f" of output {open_.name!r}" if open_.name else ""
        raise ModelsError(
            f"refused: what the model's numbers{name} are is open: {open_.known}. Say it with --scores: softmax "
            "(probabilities of one label), sigmoid (of independent ones, or one number for two labels), logits (before "
            "softmax), sigmoid_logits (before sigmoid), or regression (quantities)"
        )
    serving = parse_serving(asked, None, shape)
    doubts, start = [text for head in shape.heads if (text := _taken_for_granted(head, stated))], 0
    for head in serving.heads:
        part = rows[:, start : start + head.units]
        start += head.units
        if against := contradiction(part, head.output):
            if head.output in ("softmax", "sigmoid"):
                raise ModelsError(f"refused: {against}")
            doubts.append(against)
    return shape, serving, doubts


def _taken_for_granted(head: OutputShape, stated: Mapping[str, str | None]) -> str:
    """What nothing showed and nobody said: whether logits are of one label or of several."""
    if head.output != "logits" or head.units == 1 or head.loss or stated.get(head.name):
        return ""
    if "logarithms" in head.known:
        return ""
    name = f"output {head.name!r}: " if head.name else ""
    return (
        f"{name}the file names no loss, so its {head.units} numbers are taken for the logits of one label each; "
        "publish with --scores sigmoid_logits if several labels may hold at once, regression if they are quantities"
    )


def output_facts(head: Head) -> dict[str, Any]:
    """What published.json says of an output."""
    return {"name": head.name, "output": head.output, "known": head.known}
