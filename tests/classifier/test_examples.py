"""The page's example pictures, out of moto's S3."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING

import pytest

from classifier import examples
from classifier.examples import Examples
from tests.support.application import http, lines, start
from tests.support.pictures import encoded, photo

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Bucket
    from tests.support.application import Running

__all__ = ["start"]
PICTURES = {name: encoded(photo(), kind) for name, kind in (("a b+ü.jpg", "JPEG"), ("hats/b.png", "PNG"))}


def told(bucket: Bucket, found: Examples | None = None) -> list[dict[str, str]]:
    found = found or Examples(bucket.s3, bucket.name, "examples/")
    document = json.loads(found.response("r", time.monotonic() + 10).body)
    shown: list[dict[str, str]] = document["examples"]
    return shown


def test_pictures_under_the_prefix_are_shown_as_they_are_and_nothing_else(bucket: Bucket) -> None:
    for name, data in PICTURES.items():
        bucket.put(f"examples/{name}", data)
    bucket.put("examples/page.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    bucket.put("examples/LICENSE", b"CC0")
    bucket.put("examples/empty.jpg", b"")
    bucket.put("examples/large.jpg", PICTURES["a b+ü.jpg"] + bytes(examples.LARGEST_BYTES))
    bucket.put("images/private.jpg", PICTURES["a b+ü.jpg"])
    shown = told(bucket)
    assert {each["name"]: base64.b64decode(each["data"]) for each in shown} == PICTURES
    assert [each["type"] for each in shown] == ["image/jpeg", "image/png"]


def test_there_are_twelve_at_most_and_they_fit_every_gateway(bucket: Bucket) -> None:
    picture = encoded(photo(), "PNG")
    for number in range(14):
        bucket.put(f"examples/{number:02}.png", picture)
    assert [each["name"] for each in told(bucket)] == [f"{number:02}.png" for number in range(12)]
    for number in range(14):
        bucket.put(f"examples/{number:02}.png", picture + bytes(150_000))
    shown = told(bucket)
    assert len(shown) == 4
    assert len(json.dumps(shown)) < 1_000_000


def test_they_are_read_once_in_five_minutes(bucket: Bucket) -> None:
    bucket.put("examples/a.png", PICTURES["hats/b.png"])
    kept = Examples(bucket.s3, bucket.name, "examples/")
    bucket.server.requests.clear()
    assert told(bucket, kept) == told(bucket, kept) != []
    assert len(bucket.server.requests) == 2


def test_no_right_to_list_shows_none_and_says_so(
    start: Callable[..., Running], capsys: pytest.CaptureFixture[str]
) -> None:
    app = start(EXAMPLES_PREFIX="examples/")  # its S3 refuses everything
    assert app.body(http(path="/examples"))["examples"] == []
    assert "example pictures" in lines(capsys)[0]["message"]


def test_without_the_setting_there_is_no_such_path(start: Callable[..., Running]) -> None:
    assert start().ask(http(path="/examples"))["statusCode"] == 404
