"""Which numbers a model gets for its pictures, by its pipeline and by the layers that scale inside it.

Scaled twice, a picture is nearly one flat tone, and the model names one label for all; not scaled at all, likewise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.errors import ModelError
from classifier.keras_json.architecture import read_architecture
from classifier.keras_json.graph import Array, Model, Tensor, tensors_in
from classifier.keras_json.resizing import follower

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from classifier.engines.keras_engine import TracedModel
    from classifier.keras_json.graph import Call, Layer
    from classifier.pictures.preprocessing import Preprocessing

    type Ends = NDArray[np.float64]

SURE = 0.99
"""A best score from which on an answer counts as saturated."""
FLAT, WIDE, UNSCALED = 0.1, 400.0, 200.0
"""Numbers that span less are scaled twice; more, after scaling inside, were not scaled before; pixels as they are."""
_NORMS = "BatchNormalization"
_FAR = 20
"""Layers that may stand before the one that scales."""
_PASS = frozenset(
    (
        *("Identity", "Dropout", "Resizing", "CenterCrop", "ZeroPadding2D", "Cropping2D", "Reshape", "Permute"),
        *("ops.cast", "ops.getitem", "ops.reshape", "ops.image.resize"),
    )
)
_ARITHMETIC = {
    "ops.true_divide": "divide",
    "ops.divide": "divide",
    "ops.multiply": "multiply",
    "ops.subtract": "subtract",
    "ops.add": "add",
}
"""What `preprocess_input` and `x / 255.` leave in a model."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The numbers that a model is given, and those after the layers that scale inside; None where pictures differ."""

    given: tuple[float, float] | None
    inside: tuple[str, ...]
    after: tuple[float, float] | None
    first: str
    """The kind of the first layer that does not scale; empty where the graph is not known."""
    span: float = 0.0
    """Between black and white after those layers, in the channel where it is largest."""

    def __str__(self) -> str:
        if self.given is None:
            return "each picture by its own mean and deviation"
        text = f"{self.given[0]:.4g} to {self.given[1]:.4g}"
        if self.inside and self.after:
            text += f"; {', '.join(self.inside)} inside the model: {self.after[0]:.4g} to {self.after[1]:.4g}"
        return text

    @property
    def contradicts(self) -> bool:
        """Whether the layers inside can't have been meant for the numbers that the pipeline gives."""
        return bool(self.inside) and self.after is not None and not FLAT <= self.span <= WIDE

    @property
    def unscaled(self) -> bool:
        """Whether nothing is known to scale the pixels, neither the pipeline nor a layer."""
        return self.given is not None and not self.inside and self.first != _NORMS and self.span > UNSCALED

    def doubt(self, preprocessing: Preprocessing, *, stated: bool) -> str:
        """What looks wrong, or nothing; `stated`: somebody said what training did to the pictures' numbers."""
        if self.given is None or self.after is None:
            return ""
        span, names = self.span, ", ".join(self.inside)
        numbers = f"from {self.after[0]:.4g} to {self.after[1]:.4g}"
        if self.inside and span < FLAT:
            how = f"scale {preprocessing.scale}" if preprocessing.scale != "none" else "mean and std"
            return (
                f"pictures are scaled twice, by {how} and by {names} inside the model, which makes numbers {numbers} "
                "of them. Say --preprocessing none, unless training did the same"
            )
        if self.inside and span > WIDE:
            return (
                f"{names} inside the model makes numbers {numbers} of these pictures, so it seems to expect them "
                "scaled before. Say --preprocessing unit, or how by --trained-with"
            )
        if self.unscaled and self.first and not stated:
            return (
                f"the model gets pixels as they are, {numbers}, and has no layer that scales them. If training divided "
                'them by 255, say --trained-with "CALL(rescale=1/255)", with the call that read the pictures; or '
                "preprocess_input=..., if that was called. If it did neither, say --preprocessing none"
            )
        return ""


def seen(preprocessing: Preprocessing, architecture: bytes | None, model: TracedModel | None) -> Seen:
    """What a model gets by its pipeline; `architecture` and the loaded model, where there are layers to look at."""
    if preprocessing.standardize != "none":
        return Seen(None, (), None, "")
    low, high = _ends(preprocessing)
    names, first = [], ""
    if architecture is not None and model is not None:
        try:
            graph = read_architecture(architecture).graph
        except ModelError:
            graph = None
        for name, change in _steps(graph, model) if graph else ():
            if change is None:
                first = name
            else:
                names.append(name)
                low, high = change(low), change(high)
    given = _ends(preprocessing)
    return Seen(_span(*given), tuple(names), _span(low, high), first, float(abs(high - low).max()))


def _ends(preprocessing: Preprocessing) -> tuple[Ends, Ends]:
    """What a black and a white pixel become, a number a channel."""
    import numpy as np

    count = int(np.prod(preprocessing.shape))
    made = [np.asarray(preprocessing.to_array(bytes([level]) * count), np.float64) for level in (0, 255)]
    first, second = (array.reshape(-1, preprocessing.channels)[0] for array in made)
    return first, second


def _span(low: Ends, high: Ends) -> tuple[float, float]:
    return float(min(low.min(), high.min())), float(max(low.max(), high.max()))


def _steps(graph: Model, model: TracedModel) -> Iterator[tuple[str, Any]]:
    """Each layer that scales, with what it does to numbers; at the end the first that does not, with None."""
    entries = list(tensors_in(graph.inputs))
    if len(entries) != 1:
        return
    tensor = entries[0]
    for _ in range(_FAR):
        following = follower(graph, tensor)
        if following is None:
            return
        layer, number = following
        if layer.model is not None:
            inner = list(tensors_in(layer.model.inputs))
            if len(inner) != 1:
                return
            graph, tensor = layer.model, inner[0]
            continue
        change = _change(layer, layer.calls[number], model)
        if change is not None:
            yield layer.kind.removeprefix("ops."), change
        elif layer.kind not in _PASS and not layer.kind.startswith("Random"):
            yield layer.kind, None
            return
        tensor = Tensor(layer.name, number, 0)


def _change(layer: Layer, call: Call, model: TracedModel) -> Any:  # noqa: ANN401 - a function of an array, or None
    import numpy as np

    if layer.kind == "Rescaling":
        scale, offset = (np.array(layer.options.get(name, default)) for name, default in (("scale", 1), ("offset", 0)))
        return lambda numbers: numbers * scale + offset
    if layer.kind == "Normalization":
        found = _keras_layer(model.module.model, layer.name)
        if found is None or found.mean is None:
            return None
        mean, deviation = np.asarray(found.mean).ravel(), np.sqrt(np.asarray(found.variance).ravel())
        return lambda numbers: (numbers - mean) / np.maximum(deviation, 1e-7)
    constant = _constant([*call.args, *call.kwargs.values()])
    if layer.kind in _ARITHMETIC and constant is not None:
        operation = getattr(np, _ARITHMETIC[layer.kind])
        return lambda numbers: operation(numbers, constant)
    return None


def _constant(values: list[Any]) -> Any:  # noqa: ANN401 - an array, or None
    """The one constant of an operation on a tensor and a constant, in this order."""
    import numpy as np

    if len(values) < 2 or not isinstance(values[0], Tensor):
        return None
    value = values[1].values if isinstance(values[1], Array) else values[1]
    if isinstance(value, bool) or not isinstance(value, int | float | list | tuple):
        return None
    array = np.array(value, np.float64).ravel()
    return array if array.size in (1, 3, 4) else None


def _keras_layer(model: Any, name: str) -> Any:  # noqa: ANN401 - Keras's
    for layer in getattr(model, "layers", ()):
        if layer.name == name:
            return layer
        if (found := _keras_layer(layer, name)) is not None:
            return found
    return None


def all_sure(best: Sequence[float]) -> bool:
    """Whether all these pictures' best scores are saturated, as those of pixels that were not scaled are."""
    return bool(best) and min(best) > SURE


def one_label_for_all(counts: Mapping[str, int], *, sure: bool = False) -> str:
    """What there is to doubt where five different pictures or more, or three of which all are `sure`, get one label."""
    total = sum(counts.values())
    if total < (3 if sure else 5) or len(counts) != 1:
        return ""
    (label,) = counts
    return (
        f"all {total} pictures get the label {label!r}: were the pictures' numbers scaled in training, and not here, "
        "or otherwise (--trained-with)? --against DIR, with a folder for each label, finds out"
    )
