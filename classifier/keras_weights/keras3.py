"""Weights as Keras lays them out since TensorFlow 2.12: layers/<class>_<n>/<attribute>/.../vars/<n>.

The groups of one class are numbered in the model's order, but not by one rule: 2.12 and 2.13 call the container
`_layer_checkpoint_dependencies` and count every layer with weights twice. So the groups of a class are taken in the
order of their numbers, whatever the numbers are (keras/saving/saving_lib.py of 2.12 to 3.x, `_save_container_state`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from classifier.errors import ModelError
from classifier.keras_json.building import Built
from classifier.keras_weights import variables
from classifier.keras_weights.variables import KerasLayer, Variable, is_random_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from classifier.keras_json.graph import Layer
    from classifier.keras_weights.assign import Assigner
    from classifier.keras_weights.store import Dataset, Store

CONTAINERS: Final = ("layers", "_layer_checkpoint_dependencies")


def is_layout(store: Store) -> bool:
    """Whether a file is laid out so."""
    return any(re.split(r"[/\\]", group)[0] in CONTAINERS for group in store.groups)


def with_slashes(datasets: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The datasets by paths with slashes; ModelError if two of them are then one.

    Keras 2.12 to 2.15 joined names by the system's separator (saving/saving_lib.py, `tf.io.gfile.join`), so on Windows
    a file has one group called `layers\\conv2d`.
    """
    found: dict[str, Dataset] = {}
    for path, dataset in datasets.items():
        plain = path.replace("\\", "/")
        if plain in found:
            raise ModelError(f"weights: the file has both {found[plain].path!r} and {path!r}")
        found[plain] = dataset
    return found


class Loader:
    """Sets every weight of one model from one file."""

    def __init__(self, built: Built, store: Store, assigner: Assigner) -> None:
        self._built = built
        self._assigner = assigner
        self._groups: dict[str, dict[str, Dataset]] = defaultdict(dict)  # "…/vars" -> its datasets by number
        self._inner: dict[str, set[str]] = defaultdict(set)  # group -> names of the groups in it that hold datasets
        for path, dataset in with_slashes(store.datasets).items():
            parent, _, leaf = path.rpartition("/")
            self._groups[parent][leaf] = dataset
            parts = path.split("/")
            for depth in range(len(parts) - 1):
                self._inner["/".join(parts[:depth])].add(parts[depth])

    def load(self) -> None:
        """Set every weight."""
        self._model(self._built, "")

    def _model(self, built: Built, path: str) -> None:
        container = next((name for name in CONTAINERS if name in self._inner[path]), CONTAINERS[0])
        by_class: dict[str, list[str]] = defaultdict(list)
        for layer in built.graph.layers:
            target = built.layers.get(layer.name)
            if target is not None and any(True for _ in variables.of(layer.name, target)):
                by_class[_snake_case(_class_name(layer, target))].append(layer.name)
        for stem, names in by_class.items():
            groups = self._numbered(_join(path, container), stem)
            if len(groups) != len(names):
                shown = ", ".join(names[:5])
                raise ModelError(f"weights: the model has {len(names)} {stem} layers ({shown}), the file {len(groups)}")
            for name, group in zip(names, groups, strict=True):
                self._layer(built.layers[name], group, name)

    def _numbered(self, path: str, stem: str) -> list[str]:
        """The groups <stem>, <stem>_1, ... under a path, in the order of their numbers."""
        numbers = {}
        for name in self._inner[path]:
            found = re.fullmatch(rf"{re.escape(stem)}(?:_(\d+))?", name)
            if found:
                numbers[_join(path, name)] = int(found[1] or 0)
        return sorted(numbers, key=lambda group: numbers[group])

    def _layer(self, target: Built | KerasLayer, path: str, place: str) -> None:
        nested = target if isinstance(target, Built) else self._built.inner.get(id(target))
        if nested is not None:
            self._model(nested, path)
            return
        own = _own_variables(target)
        if own:
            self._assigner.assign(place, own, self._datasets(f"{path}/vars"))
        for attribute, child in _children(target):
            inner = _join(path, attribute)
            if inner not in self._inner:  # "_query_dense" is also saved as "query_dense" since 3.6
                inner = _join(path, attribute.lstrip("_"))
            self._layer(child, inner, f"{place}/{attribute}")

    def _datasets(self, path: str) -> list[Dataset]:
        found: Mapping[str, Dataset] = self._groups.get(path, {})
        return [found[number] for number in sorted(found, key=lambda number: (len(number), number))]


def _class_name(layer: Layer, target: Built | KerasLayer) -> str:
    """The Python class's name: not always the one in the JSON (GroupQueryAttention is GroupedQueryAttention)."""
    return layer.written_kind if isinstance(target, Built) else type(target).__name__


def _own_variables(layer: KerasLayer) -> list[Variable]:
    """The layer's own weights in the order in which Keras saves them."""
    import keras

    if isinstance(layer, keras.layers.SpectralNormalization):  # it holds its layer's kernel as its own too
        return [layer.kernel, layer.vector_u]
    nested = {id(weight) for _, child in _children(layer) for weight in child.weights}
    own = (*layer.trainable_variables, *layer.non_trainable_variables)
    return [weight for weight in own if id(weight) not in nested and not is_random_state(weight)]


def _children(layer: KerasLayer) -> Iterator[tuple[str, KerasLayer]]:
    """The layers inside of a layer with the attribute's name: RNN's cell, a wrapper's layer, attention's parts."""
    import keras

    for attribute, value in sorted(vars(layer).items()):
        if attribute in ("_layers", "_inbound_nodes"):
            continue
        if isinstance(value, keras.Layer):
            yield attribute, value
        elif isinstance(value, list | tuple):
            used: dict[str, int] = {}
            for child in value:
                if isinstance(child, keras.Layer):
                    stem = _snake_case(type(child).__name__)
                    count = used[stem] = used.get(stem, -1) + 1
                    yield f"{attribute}/{stem}_{count}" if count else f"{attribute}/{stem}", child


def _snake_case(name: str) -> str:
    """The writer's rule for group names (keras/src/utils/naming.py, to_snake_case)."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _join(path: str, inner: str) -> str:
    return f"{path}/{inner}" if path else inner
