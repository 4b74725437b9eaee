"""A model as plain data: layers, their options, and which tensors each call takes. No Keras in here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

type Plain = bool | int | float | str | None
type Value = Plain | list[Value] | tuple[Value, ...] | dict[str, Value] | Tensor | Layer | Slice | Array | Ellipsis_


@dataclass(frozen=True, slots=True)
class Tensor:
    """Output `index` of the call number `call` (from 0) of the layer called `layer`."""

    layer: str
    call: int
    index: int


@dataclass(frozen=True, slots=True)
class Slice:
    """A Python slice, as in `x[1:, ::2]`."""

    start: Value
    stop: Value
    step: Value


@dataclass(frozen=True, slots=True)
class Array:
    """A constant that the model computes with."""

    values: Value
    dtype: str


@dataclass(frozen=True, slots=True)
class Ellipsis_:  # noqa: N801  (the builtin has the better name)
    """The `...` of `x[..., 0]`."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a layer; values may hold Tensors at any depth."""

    args: tuple[Value, ...]
    kwargs: Mapping[str, Value]

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that this call needs."""
        yield from tensors_in([*self.args, *self.kwargs.values()])


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer in today's terms: `kind` names what to build, `written_kind` the class in the writer's JSON."""

    name: str
    kind: str
    options: Mapping[str, Value]
    calls: tuple[Call, ...] = ()
    written_kind: str = ""
    trainable: bool = True
    model: Model | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A graph of layers, in the writer's order; inputs and outputs keep the writer's structure."""

    name: str
    layers: tuple[Layer, ...]
    inputs: Value
    outputs: Value

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)


def tensors_in(value: Value) -> Iterator[Tensor]:
    """Every Tensor in a structure, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, Slice):
        yield from tensors_in([value.start, value.stop, value.step])
