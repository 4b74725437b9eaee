"""Weights as Keras 3 lays them out: layers/<class>_<n>/<attribute>/.../vars/<n> (keras/src/saving/saving_lib.py)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from classifier.keras_json import Built
from classifier.keras_weights.variables import KerasLayer, Variable, is_random_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from classifier.keras_json.graph import Model
    from classifier.keras_weights.assign import Assigner
    from classifier.keras_weights.store import Dataset, Store


def load(built: Built, store: Store, assigner: Assigner) -> None:
    """Set every weight of the model from the store."""
    _load_model(built, "", store, assigner)


def _load_model(built: Built, path: str, store: Store, assigner: Assigner) -> None:
    for name, key in numbered(built.graph):
        target = built.layers[name]
        inner = _join(path, f"layers/{key}")
        if isinstance(target, Built):
            _load_model(target, inner, store, assigner)
        else:
            _load_layer(target, inner, name, store, assigner)


def numbered(graph: Model) -> Iterator[tuple[str, str]]:
    """Each layer's name with its key in the file: the class in snake case, numbered from the second on."""
    used: dict[str, int] = {}
    for layer in graph.layers:
        if layer.kind.startswith("ops.") or not layer.written_kind:
            continue
        stem = _snake_case(layer.written_kind)
        count = used.get(stem, 0)
        used[stem] = count + 1
        yield layer.name, f"{stem}_{count}" if count else stem


def _load_layer(layer: KerasLayer, path: str, place: str, store: Store, assigner: Assigner) -> None:
    own = _own_variables(layer)
    if own:
        assigner.assign(place, own, _datasets(store, f"{path}/vars"))
    for attribute, child in children(layer):
        _load_layer(child, _join(path, attribute), place, store, assigner)


def _own_variables(layer: KerasLayer) -> list[Variable]:
    """The layer's own weights in the order in which Keras saves them."""
    nested = {id(weight) for _, child in children(layer) for weight in child.weights}
    own = (*layer.trainable_variables, *layer.non_trainable_variables)
    return [weight for weight in own if id(weight) not in nested and not is_random_state(weight)]


def _datasets(store: Store, path: str) -> list[Dataset]:
    found = {key: item for key, item in store.datasets.items() if key.rpartition("/")[0] == path}
    return [found[key] for key in sorted(found, key=lambda key: (len(key), key))]


def children(layer: KerasLayer) -> Iterator[tuple[str, KerasLayer]]:
    """The layers inside of a layer with the attribute's name: RNN's cell, a wrapper's layer, attention's parts."""
    import keras

    for attribute, value in sorted(vars(layer).items()):
        items = value if isinstance(value, list | tuple) else [value]
        layers = [item for item in items if isinstance(item, keras.Layer)]
        if not layers or attribute in ("_layers", "_inbound_nodes"):
            continue
        for number, child in enumerate(layers):
            stem = _snake_case(type(child).__name__)
            suffix = f"_{number}" if number else ""
            yield (f"{attribute}/{stem}{suffix}" if isinstance(value, list | tuple) else attribute), child


def _snake_case(name: str) -> str:
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _join(path: str, inner: str) -> str:
    return f"{path}/{inner}" if path else inner
