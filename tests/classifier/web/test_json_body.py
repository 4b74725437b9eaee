"""The JSON of a body: what it may be packed in, and how much of it is read."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from classifier.errors import RequestError
from classifier.web.json_body import MAX_UNPACKED_BYTES, check_memory, plain_json

PLAIN = json.dumps({"instances": [[0.5] * 100] * 10}).encode()
LARGE = "The request holds more than there is memory for. Send fewer rows at once."


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (PLAIN, ""),
        (PLAIN, "identity"),
        (gzip.compress(PLAIN, mtime=0), "gzip"),
        (gzip.compress(PLAIN, mtime=0), " GZip "),
        (gzip.compress(PLAIN, mtime=0), "x-gzip"),
        (PLAIN, "gzip"),  # unpacked on the way, the header left
    ],
)
def test_plain_and_packed_bodies_give_the_same_json(body: bytes, coding: str) -> None:
    assert plain_json(body, coding, None) == PLAIN
    assert plain_json(body, coding, len(PLAIN) * 40) == PLAIN


@pytest.mark.parametrize(
    ("body", "coding", "text"),
    [
        (gzip.compress(PLAIN, mtime=0)[:-1], "gzip", "The gzip body is broken."),
        (gzip.compress(PLAIN, mtime=0)[:-8] + bytes(8), "gzip", "The gzip body is broken."),
        (gzip.compress(PLAIN, mtime=0) * 2, "gzip", "The gzip body is broken."),
        (b"\x1f\x8b", "gzip", "The gzip body is broken."),
        (zlib.compress(PLAIN), "deflate", "Content-Encoding can be gzip; send other codings' bodies as they are."),
        (PLAIN, "br", "Content-Encoding can be gzip; send other codings' bodies as they are."),
        (
            gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0),
            "gzip, gzip",
            "Content-Encoding can be gzip; send other codings'",
        ),
        (gzip.compress(bytes(MAX_UNPACKED_BYTES + 1), mtime=0), "gzip", LARGE),
    ],
)
def test_other_codings_and_broken_ones_are_refused(body: bytes, coding: str, text: str) -> None:
    with pytest.raises(RequestError) as refused:
        plain_json(body, coding, None)
    assert refused.value.public.startswith(text)


def test_a_bomb_is_unpacked_no_further_than_memory_allows() -> None:
    body = gzip.compress(bytes(50_000_000))
    with pytest.raises(RequestError, match="over 25000 bytes after gzip"):
        plain_json(body, "gzip", 1_000_000)


@pytest.mark.parametrize(("left", "fits"), [(None, True), (100_000, True), (10_000, False), (0, False)])
def test_json_that_could_take_more_memory_than_is_left_is_not_parsed(left: int | None, fits: bool) -> None:
    body = json.dumps({"instances": [[0.5] * 72]}).encode()
    if fits:
        check_memory(body, left)
    else:
        with pytest.raises(RequestError):
            check_memory(body, left)
