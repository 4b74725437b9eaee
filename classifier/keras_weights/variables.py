"""Which variables a layer or a nested model has, under which layer's name and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.keras_json.building import Built

if TYPE_CHECKING:
    from collections.abc import Iterator

type KerasLayer = Any
type Variable = Any


@dataclass(frozen=True, slots=True)
class Owned:
    """A variable, the layer that holds it, and whether training would have changed it."""

    owner: str
    variable: Variable
    trained: bool

    @property
    def name(self) -> str:
        """ "kernel", "gamma", ..."""
        return str(self.variable.name)


def of(name: str, target: Built | KerasLayer, *, trainable: bool = True) -> Iterator[Owned]:
    """Every variable under a layer, layer by layer; states of random generators are no weights."""
    if isinstance(target, Built):
        for layer in target.graph.layers:
            if layer.name in target.layers:
                yield from of(layer.name, target.layers[layer.name], trainable=trainable and layer.trainable)
        return
    trained = {id(variable) for variable in target.trainable_variables}
    for variable in (*target.trainable_variables, *target.non_trainable_variables):
        if not is_random_state(variable):
            yield Owned(name, variable, trainable and id(variable) in trained)


def is_random_state(variable: Variable) -> bool:
    """Whether a variable is the state of a keras.random.SeedGenerator (Dropout and others hold one)."""
    return str(variable.name) == "seed_generator_state"
