"""`explain` at every way in: what the reply gains, what it is told otherwise, and that nothing changes without it."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from classifier.errors import ModelLoadingError
from classifier.web.openapi import openapi_response
from classifier.web.responses import TOLD_HEADERS
from tests.support.application import Running, http, picture, start, upload  # noqa: F401 - a fixture
from tests.support.origin import reply

if TYPE_CHECKING:
    from collections.abc import Callable

FORM = "multipart/form-data; boundary=b"


def halves() -> bytes:
    """Red on the left half, blue on the right one: the engine says how red a picture is, and how blue."""
    image = Image.new("RGB", (60, 40), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 30, 40))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def form(data: bytes, **fields: str) -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    return b"".join([*parts, head, data, b"\r\n--b--\r\n"])


def as_json(**fields: Any) -> dict[str, Any]:
    return upload(json.dumps(fields).encode(), "application/json")


ENCODED = base64.b64encode(halves()).decode()
WAYS = {
    "upload": upload(halves(), query="explain=true"),
    "form": upload(form(halves(), explain="True"), FORM),
    "JSON": as_json(image=ENCODED, explain=True),
    "JSON, a label": as_json(image=ENCODED, explain="red"),
    "link": http(query="imagelink=https://a.example/a.png&explain=red"),
    "key": http(query="s3key=images/a.png&explain=true"),
    "direct": {"image": ENCODED, "explain": True},
}


UNREAD = {
    "cache-control",
    "content-type",
    "vary",
    "x-content-type-options",
    "content-security-policy",
    "referrer-policy",
}
"""Headers for browsers and caches; the first two any page may read (https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name)."""


def test_every_header_of_ours_may_be_read_by_pages_of_other_origins(start: Callable[..., Running]) -> None:  # noqa: F811
    running, busy = start(s3=reply(halves())), start()
    busy.models.failure = ModelLoadingError("not yet")
    answers = [
        *(running.ask(WAYS[way]) for way in ("upload", "key")),
        running.ask(upload(halves(), query="explain=true&topk=1", accept="image/png")),
        running.ask(upload(halves(), accept="text/plain")),
        running.ask(as_json(images=[{"image": ENCODED}])),
        *(running.ask(http(path=path)) for path in ("/", "/docs", "/openapi.json", "/model", "/health", "/no")),
        *(running.ask(http(path=f"/v1/models/things{end}")) for end in ("", "/metadata")),
        running.ask(upload(b'{"instances": []}', "application/json") | {"rawPath": "/v1/models/things:predict"}),
        running.ask(http("DELETE")),
        busy.ask(upload(halves())),
    ]
    sent = {name for answer in answers for name in answer["headers"]}
    assert {name for name in sent if not name.startswith(("access-control-", "timing-allow-"))} - UNREAD == {
        *TOLD_HEADERS
    }
    described = re.findall(r'"headers": \{\s*"([a-z-]+)"|"(x-[a-z-]+)": \{', openapi_response().body)
    assert {one for pair in described for one in pair if one} <= {*TOLD_HEADERS}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_in_gets_the_map_beside_the_same_answer(way: str, start: Callable[..., Running]) -> None:  # noqa: F811
    running = start(fetch=lambda _link, _deadline: halves(), s3=reply(halves()))
    plain = running.body(upload(halves()))
    answer = running.ask(WAYS[way])
    found = answer if way == "direct" else json.loads(answer["body"])
    explanation = found["explanation"]
    assert (explanation["label"], explanation["method"], explanation["box"]) == ("red", "occlusion", [0, 0, 1, 1])
    map_ = np.array(explanation["map"])
    assert map_.shape == (8, 8)
    assert map_[:, :3].min() > map_[:, 5:].max()
    assert (map_.min(), map_.max()) == (0, 1)
    assert found["predictions"] == plain["predictions"]
    assert set(found) == {*plain, "explanation"}
    assert "explain" in found["timings_ms"]


def test_the_label_that_is_named_is_explained(start: Callable[..., Running]) -> None:  # noqa: F811
    explanation = start().body(upload(halves(), query="explain=blue"))["explanation"]
    assert explanation["label"] == "blue"
    assert not np.array(explanation["map"])[:, :3].any()
    assert np.array(explanation["map"])[:, 5:].all()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (upload(halves(), query="explain=cat"), ["'cat'", "no label", "true", "red, blue"]),
        (upload(halves(), query="explain=%F0%9F%90%88%00" + "x" * 500), ["no label"]),
        (as_json(image=ENCODED, explain=3), ["explain must be true or a label, not a number"]),
        (as_json(image=ENCODED, explain=["red"]), ["not a list"]),
        (upload(halves(), query="explain=red&explain=blue"), ["explain was given more than once"]),
        (as_json(images=[{"image": ENCODED}], explain=True), ["one picture at a time"]),
    ],
)
def test_what_cannot_be_explained_is_said(
    event: Any,
    words: list[str],
    start: Callable[..., Running],  # noqa: F811
) -> None:
    answer = start().ask(event)
    error = json.loads(answer["body"])["error"]
    assert (answer["statusCode"], error["code"]) == (400, "invalid_request")
    assert [word for word in words if word not in error["message"]] == []
    assert len(error["message"]) < 400


def test_one_of_several_pictures_is_refused_in_its_place(start: Callable[..., Running]) -> None:  # noqa: F811
    first, second = start().body(as_json(images=[{"image": ENCODED, "explain": "red"}, {"image": ENCODED}]))["results"]
    assert "one picture at a time" in first["error"]["message"]
    assert "predictions" in second


@pytest.mark.parametrize(
    ("accept", "png"), [("image/png", True), ("image/avif,image/*,*/*;q=0.8", True), ("*/*", False)]
)
def test_accept_gets_the_picture(accept: str, png: bool, start: Callable[..., Running]) -> None:  # noqa: F811
    answer = start().ask(upload(halves(), query="explain=true", accept=accept))
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, png)
    assert answer["headers"]["content-type"] == ("image/png" if png else "application/json")
    if png:
        shown = Image.open(io.BytesIO(base64.b64decode(answer["body"])))
        assert (shown.format, shown.size) == ("PNG", (60, 40))
        pixels = np.asarray(shown.convert("RGB")).astype(int)
        assert pixels[20, 10, 1] > 60  # glowing red is yellower than red
        assert tuple(pixels[20, 55]) == (0, 0, 255)  # and what does not count stays as it was
        said = json.loads(answer["headers"]["x-explanation"])
        assert said == {"label": "red", "method": "occlusion"}
        assert answer["headers"]["x-model-version"] == "0123456789abcdef"


def test_a_large_picture_is_shown_small_and_upright(start: Callable[..., Running]) -> None:  # noqa: F811
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise((1200, 700), 90).convert("RGB").save(file, "JPEG", exif=exif)
    answer = start().ask(upload(file.getvalue(), "image/jpeg", "explain=true", accept="image/png"))
    assert Image.open(io.BytesIO(base64.b64decode(answer["body"]))).size == (187, 321)
    assert len(answer["body"]) < 1 << 20


def test_without_being_asked_nothing_is_imported_and_nothing_changes(
    start: Callable[..., Running],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("classifier.explaining")]:
        monkeypatch.delitem(sys.modules, name)
    running = start()
    for event in (upload(halves()), upload(halves(), accept="image/png"), as_json(image=ENCODED, explain=False)):
        answer = running.ask(event)
        assert list(json.loads(answer["body"])) == [
            *("predictions", "model", "image", "cold_start", "timings_ms", "request_id"),
        ]
        assert answer["headers"]["content-type"] == "application/json"
        assert answer["isBase64Encoded"] is False
    assert [name for name in sys.modules if name.startswith("classifier.explaining")] == []


def test_the_map_and_the_picture_of_a_stored_one_have_tags_of_their_own(start: Callable[..., Running]) -> None:  # noqa: F811
    running = start(s3=reply(halves(), 'ETag: "a"'))
    asked = [("explain=true", "image/png"), ("explain=true", "*/*"), ("", "*/*"), ("", "image/png")]
    tags = [
        running.ask(http(query=f"s3key=images/a.png&{query}", headers={"accept": accept}))["headers"]["etag"]
        for query, accept in asked
    ]
    assert len(set(tags)) == 3
    assert tags[2] == tags[3]
