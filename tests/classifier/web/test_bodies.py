"""A body: what it may be packed in, and how much JSON is read."""

from __future__ import annotations

import gzip
import json
import math
import time
import tracemalloc
import zlib

import pytest

from classifier.errors import RequestError
from classifier.web.bodies import MANY_TOKENS, MAX_UNPACKED_BYTES, Budget, read_json, unpacked

PLAIN = json.dumps({"instances": [[0.5] * 100] * 10}).encode()
LARGE = "The request holds more than there is memory for. Send fewer rows at once."


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (PLAIN, ""),
        (PLAIN, "identity"),
        (gzip.compress(PLAIN), "gzip"),
        (gzip.compress(PLAIN), " GZip "),
        (gzip.compress(PLAIN), "x-gzip"),
        (PLAIN, "gzip"),  # unpacked on the way, the header left
        *((PLAIN, coding) for coding in ("utf-8", "UTF-8, identity", "base64", "binary", "none", "aws-chunked")),
        (gzip.compress(PLAIN), "gzip, aws-chunked"),
    ],
)
def test_plain_and_packed_bodies_give_the_same_bytes(body: bytes, coding: str) -> None:
    assert unpacked(body, coding, Budget()) == PLAIN
    assert unpacked(body, coding, Budget(memory=len(PLAIN) * 4)) == PLAIN


@pytest.mark.parametrize(
    ("body", "coding", "text"),
    [
        (gzip.compress(PLAIN)[:-1], "gzip", "The gzip body is broken."),
        (gzip.compress(PLAIN)[:-8] + bytes(8), "gzip", "The gzip body is broken."),
        (gzip.compress(PLAIN) * 2, "gzip", "The gzip body is broken."),
        (b"\x1f\x8b", "gzip", "The gzip body is broken."),
        (zlib.compress(PLAIN), "deflate", "Content-Encoding can be gzip, not deflate; send the body as it is."),
        (PLAIN, "br", "Content-Encoding can be gzip, not br; send the body as it is."),
        (gzip.compress(gzip.compress(PLAIN)), "gzip, gzip", "Content-Encoding can be gzip once; send the body"),
        (gzip.compress(bytes(MAX_UNPACKED_BYTES + 1)), "gzip", LARGE),
    ],
)
def test_other_codings_and_broken_ones_are_refused(body: bytes, coding: str, text: str) -> None:
    with pytest.raises(RequestError) as refused:
        unpacked(body, coding, Budget())
    assert refused.value.public.startswith(text)


def test_a_bomb_is_unpacked_no_further_than_memory_allows() -> None:
    body = gzip.compress(bytes(50_000_000))
    with pytest.raises(RequestError, match="over 250000 bytes after gzip"):
        unpacked(body, "gzip", Budget(memory=1_000_000))


def rows(row: bytes, bytes_in_all: int = 700_000) -> bytes:
    return b'{"instances": [' + row * (bytes_in_all // len(row)) + b"0]}"


SHAPES = {
    "nested lists": rows(b"[[[[[[[0]]]]]]],"),
    "empty lists": rows(b"[],"),
    "lists of one": rows(b"[1],"),
    "pixels": rows(b"[0.123,0.234,0.345],"),
    "numbers": rows(b"0.5123456,"),
    "large numbers": rows(b"12345678901,"),
    "empty objects": rows(b"{},"),
    "objects of one": rows(b'{"a":0},'),
    "texts": rows(b'"",'),
    "names": b'{"x": {' + b",".join(b'"%d":0' % number for number in range(40_000)) + b"}}",
    "one long text": b'{"image": "' + b"A" * 400_000 + b'"}',
    "one long text with an emoji": ('{"image": "' + "A" * 400_000 + '\U0001f600"}').encode(),
}


@pytest.mark.parametrize("name", SHAPES)
def test_json_never_takes_more_memory_than_was_counted_and_not_much_less(name: str) -> None:
    body = SHAPES[name]
    tracemalloc.start()
    read_json(body, Budget(deadline=math.inf))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    with pytest.raises(RequestError, match="may take"):
        read_json(body, Budget(memory=most))
    read_json(body, Budget(memory=most * 8))


@pytest.mark.parametrize("name", [name for name in SHAPES if "one long text" not in name])
def test_reading_json_ends_at_the_deadline(name: str) -> None:
    read_json(SHAPES[name], Budget(deadline=time.monotonic() + 60))
    with pytest.raises(RequestError) as refused:
        read_json(SHAPES[name], Budget(deadline=time.monotonic()))
    assert refused.value.public == "The request holds more than there is time to read. Send fewer rows at once."


def test_short_json_and_long_pictures_are_read_without_a_look_at_the_clock() -> None:
    for body in (PLAIN, SHAPES["one long text"], rows(b"1,", 2 * MANY_TOKENS - 20)):
        assert read_json(body, Budget(deadline=time.monotonic())) == json.loads(body)


def test_what_is_left_of_a_functions_memory_is_its_budget() -> None:
    assert Budget.of_function(0, 5.0) == Budget(deadline=5.0)
    assert 0 < (Budget.of_function(1 << 40, None).memory or 0) < 1 << 40
