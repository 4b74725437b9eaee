"""What `verify` left beside a version, and whatever somebody else left there instead."""

from __future__ import annotations

import json

import pytest

from classifier.errors import ModelError
from lifecycle.marks import read_mark, write_mark
from lifecycle.place import Place
from tests.conftest import PLACE_PREFIX

KEY = f"{PLACE_PREFIX}versions/0123456789abcdef/verified.json"
MARK = {"passed": False, "problems": ["labels"], "checked": "2026-11-29", "accuracy": {"litert": 0.5}}


def test_a_mark_is_read_as_it_was_written(place: Place) -> None:
    assert read_mark(place, "0123456789abcdef") is None
    write_mark(place, "0123456789abcdef", MARK)
    assert read_mark(place, "0123456789abcdef") == MARK


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff",
            b"[" * 100_000,
            b'{"passed": 1e999}',
            b'{"passed": true, "passed": false}',
        ),
        *(b"{}", b'{"passed": 1}', b'{"passed": true, "problems": 5}', b'{"passed": true, "problems": [null]}'),
        json.dumps({**MARK, "checked": None}).encode(),
        b'{"passed": true, "x": "' + b"a" * 1_000_000 + b'"}',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_no_mark_is_a_model_error(body: bytes, place: Place) -> None:
    place.client.put_object(Bucket=place.bucket, Key=KEY, Body=body)
    with pytest.raises(ModelError):
        read_mark(place, "0123456789abcdef")
