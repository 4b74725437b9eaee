"""Records keep a frozen dataclass's promises, which the type checker takes them for."""

from __future__ import annotations

import copy
import pickle

import pytest

from classifier.records import Record, as_dict


class Point(Record):
    """Two numbers, the second of which has a default."""

    x: int
    y: int = 2


class Line(Record, kw_only=True):
    """Records within a record."""

    start: Point
    picture: bytes = b""


def test_fields_are_given_by_position_or_name_and_defaults_fill_the_rest() -> None:
    assert Point(1) == Point(x=1, y=2) == Point(1, 2)
    assert Point(1) != Point(2)
    assert len({Point(1), Point(1, 2), Point(3)}) == 2


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"z": 3}), ((1,), {"x": 1}), ((), {"y": 1})]
)
def test_missing_unknown_and_repeated_fields_are_errors(args: tuple[int, ...], kwargs: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="Point"):
        Point(*args, **kwargs)


def test_a_record_is_frozen_and_slotted() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="frozen"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del point.x
    with pytest.raises(AttributeError):
        object.__setattr__(point, "z", 3)
    assert not hasattr(point, "__dict__")


def test_records_of_different_classes_are_never_equal() -> None:
    class Other(Record):
        x: int
        y: int = 2

    assert Point(1) != Other(1)


def test_copies_change_what_is_named_and_nothing_else() -> None:
    assert copy.replace(Point(1), y=5) == Point(1, 5)


def test_a_record_matches_by_position() -> None:
    match Point(1):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_what_is_shown_and_stored() -> None:
    line = Line(start=Point(1), picture=b"x" * 99)
    assert repr(line) == "Line(start=Point(x=1, y=2), picture=<99 bytes>)"
    assert as_dict(line) == {"start": {"x": 1, "y": 2}, "picture": b"x" * 99}


def test_a_record_is_pickled_and_copied_as_a_value() -> None:
    line = Line(start=Point(1), picture=b"x")
    assert pickle.loads(pickle.dumps(line)) == copy.deepcopy(line) == line  # noqa: S301 - our own bytes
