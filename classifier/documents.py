"""Documents out of S3: bytes to checked JSON, with one meaning only; whatever is wrong with one is a ModelError.

Each has its bound of bytes where it is fetched. Here are those of depth and type, and the one promise to whoever reads
on: no document raises anything else, so an older good version serves.
"""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from classifier.errors import ClassifierError, ModelError, ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None
type Rule = Any
"""What a value must be: a type, a tuple of alternatives (None among them), `[rule]` for a list, `{str: rule}` for an
object of any names, `Fields` for one of given names."""

MAX_DEPTH = 32
MAX_TOKENS = 600_000
"""Values of one document [NASNetLarge about 100,000]: a byte of JSON may become 50 in memory."""


class Fields:
    """The rule for an object of given names; those of `optional` may be missing, others are let through unread."""

    def __init__(self, needed: Mapping[str, Rule], optional: Mapping[str, Rule] | None = None) -> None:
        self.needed, self.optional = needed, optional or {}


def read_object(data: bytes, what: str, max_depth: int = MAX_DEPTH) -> dict[str, Json]:
    """The JSON object in `data` (UTF-8); `what` names it in errors.

    ModelTooLargeError if it is nested too deep, ModelError where the text is not one unambiguous object: RFC 8259
    leaves duplicate keys, NaN and numbers beyond a double to the reader, and two readers that differ are how a check
    gets passed by.
    """
    document = read_value(data, what, max_depth)
    if not isinstance(document, dict):
        raise ModelError(f"{what} is {_kind(document)}, expected an object")
    return document


def read_value(data: bytes, what: str, max_depth: int = MAX_DEPTH) -> Json:
    """The same for any JSON value."""
    if (tokens := sum(map(data.count, (b"[", b"{", b",")))) > MAX_TOKENS:
        raise ModelTooLargeError(f"{what} has {tokens:,} values, more than {MAX_TOKENS:,}")
    with blamed(what):
        try:
            document: Json = json.loads(
                data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
            )
        except RecursionError as error:
            raise ModelTooLargeError(f"{what} is nested too deeply to be read") from error
        except UnicodeDecodeError as error:
            raise ModelError(f"{what} is not UTF-8: {error}") from error
        except ValueError as error:
            raise ModelError(f"{what} can't be read: {error}") from error
    _check_depth(document, max_depth, what)
    return document


def check(value: Any, rule: Rule, place: str) -> None:  # noqa: ANN401 - any JSON value
    """ModelError unless the value is what the rule says; `place` names it."""
    alternatives = rule if isinstance(rule, tuple) else (rule,)
    if not any(_fits(value, one) for one in alternatives):
        raise ModelError(f"{place} is {_kind(value)}, expected {' or '.join(map(_named, alternatives))}")
    for inside, inner, name in _inner(value, rule, place):
        check(inside, inner, f"{place}{name}")


def _inner(value: Any, rule: Rule, place: str) -> Iterator[tuple[Any, Rule, str]]:  # noqa: ANN401
    """What is inside of a list or object that its rule says something of: the value, its rule, and its name."""
    if isinstance(rule, list):
        yield from ((item, rule[0], f"[{index}]") for index, item in enumerate(value))
    elif isinstance(rule, dict):
        yield from ((item, rule[str], f".{name[:40]}") for name, item in value.items())
    elif isinstance(rule, Fields):
        if missing := sorted(rule.needed.keys() - value.keys()):
            raise ModelError(f"{place} has no {', '.join(missing)}")
        known = {**rule.needed, **rule.optional}
        yield from ((value[name], inner, f".{name}") for name, inner in known.items() if name in value)


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Whatever Python raises over a document's values, in their many ways, is that document's fault."""
    try:
        yield
    except ClassifierError:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        raise ModelError(f"{what} makes no sense: {type(error).__name__}: {str(error)[:200]}") from error


def _fits(value: Json, rule: Rule) -> bool:
    if rule is None:
        return value is None
    if rule is bool:
        return isinstance(value, bool)
    if rule is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    if rule is str:
        return isinstance(value, str)
    return isinstance(value, list if isinstance(rule, list) else dict)


def _named(rule: Rule) -> str:
    names = {None: "null", bool: "true or false", int: "a whole number", str: "text"}
    if isinstance(rule, list):
        return "a list"
    return "an object" if isinstance(rule, dict | Fields) or rule is dict else names[rule]


def _kind(value: Json) -> str:
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)[:40]
    return "text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        differing = (name for (name, _), known in zip(pairs, found, strict=False) if name != known)
        twice = next(differing, pairs[-1][0])
        raise ValueError(f"it has the key {twice[:80]!r} twice in one object")
    return found


def _constant(text: str) -> NoReturn:
    raise ValueError(f"it holds {text}, which is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it holds {text[:40]}, which is no finite number")
    return number


def _check_depth(document: Json, max_depth: int, what: str) -> None:
    level: list[Json] = [document]
    depth = 0
    while level:
        if depth > max_depth:
            raise ModelTooLargeError(f"{what} is nested more than {max_depth} deep")
        level = [child for value in level for child in _children(value)]
        depth += 1


def _children(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
