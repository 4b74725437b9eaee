"""Weights as Keras 2 lays them out: a group a layer, named in `layer_names`, its arrays named in `weight_names`.

Layers are paired by name, or by position where the names differ (as they do between sessions: dense_1, dense_7); a
nested model's arrays by the names of its layers, or by position in the orders that Keras 2 wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from classifier.errors import ModelError, ModelNotAllowedError
from classifier.keras_json.foreign import FOREIGN
from classifier.keras_json.history import class_name
from classifier.keras_json.words import words
from classifier.keras_weights import variables

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from classifier.keras_json.building import Built
    from classifier.keras_weights.assign import Assigner
    from classifier.keras_weights.store import Dataset, Store
    from classifier.keras_weights.variables import Owned

# A variable's name in Keras 2 -> today; other names (LayerScale's "Variable") say nothing.
_TODAY: Final = {"depthwise_kernel": "kernel", "running_mean": "moving_mean", "running_std": "moving_variance"}
_SAYING: Final = words("""
    kernel bias gamma beta moving_mean moving_variance recurrent_kernel pointwise_kernel alpha embeddings mean variance
""")


@dataclass(frozen=True, slots=True)
class Saved:
    """One array of the file: the layer and the variable in its name."""

    owner: str
    name: str
    dataset: Dataset


def load(built: Built, store: Store, root: str, assigner: Assigner) -> None:
    """Set every weight of the model from the groups under `root`."""
    saved = {name: _saved(store, root, name) for name in store.names(root, "layer_names") or []}
    saved = {name: arrays for name, arrays in saved.items() if arrays}
    wanted = {
        layer.name: owned
        for layer in built.graph.layers
        if layer.name in built.layers
        if (owned := list(variables.of(layer.name, built.layers[layer.name], trainable=layer.trainable)))
    }
    _refuse_unknown_weights(built, wanted.keys(), saved)
    for name, other in _paired(wanted, saved):
        _load_layer(name, wanted[name], saved[other], assigner)


def _refuse_unknown_weights(built: Built, wanted: Collection[str], saved: Collection[str]) -> None:
    """A layer that is known to have no weights, and has some in the file, is another of the same name."""
    for layer in built.graph.layers:
        if class_name(layer.written_kind) in FOREIGN and layer.name in saved and layer.name not in wanted:
            raise ModelNotAllowedError(
                f"weights: the file has some of {layer.name!r} ({layer.written_kind}), which has none where we know it"
            )


def _paired(wanted: dict[str, list[Owned]], saved: dict[str, list[Saved]]) -> list[tuple[str, str]]:
    if all(name in saved for name in wanted):
        return [(name, name) for name in wanted]
    if len(wanted) != len(saved):
        missing = [name for name in wanted if name not in saved]
        raise ModelError(
            f"weights: the model has {len(wanted)} layers with weights, the file {len(saved)}; "
            f"not in the file: {', '.join(missing[:10])}"
        )
    return list(zip(wanted, saved, strict=True))


def _saved(store: Store, root: str, layer: str) -> list[Saved]:
    group = f"{root}/{layer}" if root else layer
    if group not in store.groups:
        raise ModelError(f"weights: layer {layer!r} is named in layer_names, but has no group")
    arrays = []
    for name in store.names(group, "weight_names") or []:
        dataset = store.datasets.get(f"{group}/{name}")
        if dataset is None:
            raise ModelError(f"weights: {name!r} of layer {layer!r} is named in weight_names, but is not there")
        parts = name.split(":")[0].split("/")
        arrays.append(Saved(parts[-2] if len(parts) > 1 else layer, _TODAY.get(parts[-1], parts[-1]), dataset))
    return arrays


def _load_layer(name: str, wanted: Sequence[Owned], saved: Sequence[Saved], assigner: Assigner) -> None:
    usable = [array for array in saved if array.name != "count" and not array.name.startswith("StateVar")]
    if len(usable) != len(wanted):
        usable = list(saved)
    fitting = [order for order in _orders(wanted) if _fits(order, usable)]
    if not fitting:
        assigner.assign(name, [owned.variable for owned in wanted], [array.dataset for array in usable])
        raise ModelError(f"weights: the arrays of layer {name!r} are called {[array.name for array in usable][:8]}")
    best = max(fitting, key=lambda order: _agreement(order, usable))
    assigner.assign(name, [owned.variable for owned in best], [array.dataset for array in usable])


def _orders(wanted: Sequence[Owned]) -> list[list[Owned]]:
    """The orders that Keras 2 wrote: trained before not trained, with or without regard to frozen layers; by layer."""
    always = {id(owned) for owned in wanted if owned.variable.trainable}
    return [
        sorted(wanted, key=lambda owned: not owned.trained),
        sorted(wanted, key=lambda owned: id(owned) not in always),
        list(wanted),
    ]


def _fits(order: Sequence[Owned], saved: Sequence[Saved]) -> bool:
    return len(order) == len(saved) and all(
        tuple(owned.variable.shape) == array.dataset.shape
        and (array.name not in _SAYING or array.name == _TODAY.get(owned.name, owned.name))
        for owned, array in zip(order, saved, strict=True)
    )


def _agreement(order: Sequence[Owned], saved: Sequence[Saved]) -> int:
    """How many arrays name the layer they would be given to; TensorFlow 1 made names unique by a number at the end."""
    return sum(
        array.owner == owned.owner or re.sub(r"_\d+$", "", array.owner) == owned.owner
        for owned, array in zip(order, saved, strict=True)
    )
