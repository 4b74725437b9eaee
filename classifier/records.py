"""Frozen, slotted records that cost next to nothing to define: the start-up path's stand-in for `@dataclass`.

A dataclass with slots compiles six methods and makes its class twice, about a millisecond each; some forty of them were
a third of what INIT took over the runtime client's own start (docs/internals/benchmarks.md). Here the methods are
written once and read `__slots__`. Whatever is not imported before the first reply may as well be a dataclass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN_BYTES = 32


@dataclass_transform(frozen_default=True)
class RecordType(type):
    """Makes slots of the annotated names, in their order, and keeps the values given to them as defaults."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: object) -> RecordType:
        names = tuple(namespace.get("__annotations__", ()))
        defaults = {field: namespace.pop(field) for field in names if field in namespace}
        namespace |= {"__slots__": names, "__match_args__": names, "_defaults": defaults}
        return super().__new__(cls, name, bases, namespace)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_: object) -> None:
        super().__init__(name, bases, namespace)


class Record(metaclass=RecordType):
    """Base of immutable values: made by position or name, equal field by field, copied by `copy.replace`."""

    if TYPE_CHECKING:
        __slots__: ClassVar[tuple[str, ...]]
        _defaults: ClassVar[dict[str, Any]]

    def __init__(self, *args: object, **kwargs: object) -> None:
        names = self.__slots__
        if len(args) > len(names):
            raise TypeError(f"{type(self).__name__} has {len(names)} fields, {len(args)} values were given")
        given = {**self._defaults, **dict(zip(names, args, strict=False)), **kwargs}
        if given.keys() != set(names) or kwargs.keys() & set(names[: len(args)]):
            wrong = given.keys() ^ set(names) or kwargs.keys() & set(names[: len(args)])
            raise TypeError(f"{type(self).__name__}: missing, unknown or given twice: {', '.join(sorted(wrong))}")
        for name, value in given.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} can't be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} can't be deleted")

    def _items(self) -> Iterator[tuple[str, Any]]:
        return ((name, getattr(self, name)) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(value == getattr(other, name) for name, value in self._items())

    def __hash__(self) -> int:
        return hash(tuple(value for _, value in self._items()))

    def __repr__(self) -> str:
        shown = (f"{name}={_shown(value)}" for name, value in self._items())
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        return type(self), tuple(value for _, value in self._items())

    def __replace__(self, /, **changes: object) -> Self:
        return type(self)(**{**dict(self._items()), **changes})


def as_dict(record: Record) -> dict[str, Any]:
    """The fields by name, records in them, and in tuples in them, likewise."""
    return {name: _plain(getattr(record, name)) for name in record.__slots__}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return as_dict(value) if isinstance(value, Record) else value


def _shown(value: object) -> str:
    """Long bytes are pictures and models, whose size says enough."""
    return f"<{len(value)} bytes>" if isinstance(value, bytes) and len(value) > SHOWN_BYTES else repr(value)
