"""JSON read against the clock: the same result and errors as json.loads, and the clock is looked at all the way."""

from __future__ import annotations

import json
import math
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from classifier.web import timed_json
from classifier.web.timed_json import PIECE_BYTES, loads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NUMBERS = (0, -1, 7.5, 1e300, -2.5e-7, 10**30, math.nan, math.inf, -math.inf)
PIECES_OF_TEXT = ['"', "\\", "\\", ",1,", "[0]", ',"a",', ":", "{", "\n", "\x00", "é", "\U0001f600", "\ud800"]
DAMAGE = ["", *'[]{},:"\\0-.e \x0b', '"a"', ',"a",', ",1", ",]", "\ufeff"]
CODINGS = ["utf-8"] * 6 + ["utf-8-sig", "utf-16", "utf-32-be"]


def a_text(random: Random) -> str:
    return "".join(random.choices(PIECES_OF_TEXT, k=random.choice((0, 1, 2, 5, 40))))


def a_value(random: Random, depth: int) -> Any:
    kind = random.random()
    if depth and kind < 0.4:
        return [a_value(random, depth - 1) for _ in range(random.choice((0, 1, 3, 12)))]
    if depth and kind < 0.65:
        return {a_text(random): a_value(random, depth - 1) for _ in range(random.choice((0, 1, 3, 8)))}
    return a_text(random) if kind < 0.8 else random.choice((None, True, False, *NUMBERS, *NUMBERS))


def a_document(random: Random) -> bytes:
    """As one of many writers would write it; some with a name given twice, some damaged."""
    comma, colon = random.choice(((",", ":"), (" ,\t", "\r:\n"), (", ", ": ")))
    value = [a_value(random, random.randrange(6)) for _ in range(random.randrange(12))]
    text = json.dumps(
        value, ensure_ascii=random.random() < 0.5, indent=random.choice((None, 1)), separators=(comma, colon)
    )
    if random.random() < 0.2:
        text = text.replace("n", "1")
    if random.random() < 0.4:
        at = random.randrange(len(text))
        text = text[:at] + random.choice(DAMAGE) + text[at + random.randrange(3) :]
    return text.encode(random.choice(CODINGS), "surrogatepass")


def outcome(read: Callable[[bytes], Any], body: bytes) -> str:
    try:
        return repr(read(body))
    except ValueError as error:
        return f"{type(error).__name__}: {error}"


def test_any_text_gives_what_json_loads_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are the pairs that they are made of, so that order and repeated names count."""
    wrapped, random, parses = timed_json._wrapped, Random(16), list[int]()

    def counted(body: bytes, leaves: Any, opening: str) -> str:
        parses.append(len(leaves))
        return wrapped(body, leaves, opening)

    monkeypatch.setattr(timed_json, "_wrapped", counted)
    for _ in range(1500):
        body, piece = a_document(random), random.choice((4, 10, 20, 40, 100))
        parses.clear()
        expected = outcome(partial(json.loads, object_pairs_hook=tuple), body)
        found = outcome(partial(loads, check=lambda: None, to_object=tuple, piece=piece), body)
        assert found == expected, body
        assert len(parses) == 1 or expected.startswith("JSONDecodeError"), body


@pytest.mark.parametrize("body", [b'[0, {"a": 1, "b", 2}]', b'{"a": 1, "b"}', b'[["a", "b": 1]]', b'["a", 1, "b" 2]'])
def test_a_value_that_may_not_be_there_is_named_where_it_is(body: bytes) -> None:
    for start in range(10):
        text = b"[" + b" " * start + b"1, 2, 3, " + body + b"]"
        with pytest.raises(json.JSONDecodeError) as expected:
            json.loads(text)
        with pytest.raises(json.JSONDecodeError) as found:
            loads(text, lambda: None, dict, 10)
        assert str(found.value) == str(expected.value)


DEEP = b"[" * 300 + b"0" + b"]" * 300 + b","
SHAPES = {
    "one long row": b"[[[" + b"0.5123456," * 40_000 + b"0]]],",
    "pixels": b"[0.123, 0.234, 0.345],\n" * 20_000,
    "nested brackets": DEEP * 700,
    "empty lists": b"[ ]," * 100_000,
    "empty objects": b"{}," * 130_000,
    "words": b"true,null,NaN,-Infinity," * 17_000,
    "texts": b'"\\\\","\\"[0]",' * 30_000,
    "names": b'{"a,0,": {' + b",".join(b'"\\\\%d" : [1]' % number for number in range(30_000)) + b"}},",
    "pictures": (b'{"b64": "' + b"A" * 30_000 + b'"},') * 15,
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_clock_is_looked_at_in_each_piece_of_whatever_shape(name: str) -> None:
    body = b'{"instances": [' + SHAPES[name] + b"0]}"
    while_read, looks = len(body) // (2 * PIECE_BYTES), list[int]()
    loads(body, lambda: looks.append(1), dict)
    assert len(looks) >= 2 * while_read >= 4  # once where values are looked for, once as they are read


class LateError(Exception):
    pass


def test_nothing_is_read_once_the_time_is_over() -> None:
    one = b'{"a":1},'
    body = b"[" + one * 100_000 + b"0]"
    pieces = len(list(timed_json._leaves(body, lambda: None, PIECE_BYTES)))
    for late in (1, 5, pieces, pieces + 1, pieces + 5, 2 * pieces):
        read, looks = list[object](), count(1)

        def check(late: int = late, looks: Iterator[int] = looks) -> None:
            if next(looks) == late:
                raise LateError

        with pytest.raises(LateError):
            loads(body, check, read.append)
        most = max(0, late - pieces) * PIECE_BYTES
        assert most - PIECE_BYTES <= len(read) * len(one) <= most * 1.01, late
