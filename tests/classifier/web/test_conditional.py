"""Conditional requests for a stored picture, held against werkzeug's reading of RFC 9110."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug.http import is_resource_modified

from classifier.web.conditional import is_known
from classifier.web.events import Request
from tests.support.application import MODEL, Running, http, picture
from tests.support.application import start as start
from tests.support.origin import reply

if TYPE_CHECKING:
    from collections.abc import Callable

TAG = 'W/"0123456789abcdef0123456789abcdef"'
STRONG = TAG.removeprefix("W/")


@pytest.mark.parametrize(
    "given",
    [
        *(TAG, STRONG, "*", " * ", f'"other", {TAG}', f'"a,b" ,{STRONG} , "c"', f'W/"",{TAG}', f"{TAG},{TAG}"),
        *("", '"other"', 'W/"other", "another"', STRONG.strip('"'), f'"{STRONG.strip(chr(34))}-gzip"', '""', "W/"),
    ],
)
def test_if_none_match_is_read_as_werkzeug_reads_it(given: str) -> None:
    request = Request(method="GET", path="/classify", headers={"if-none-match": given} if given else {})
    environ = {"REQUEST_METHOD": "GET", "HTTP_IF_NONE_MATCH": given.strip()} if given else {"REQUEST_METHOD": "GET"}
    expected = not is_resource_modified(environ, etag=TAG.removeprefix("W/").strip('"'))
    assert is_known(request, TAG) == (
        expected and given != STRONG.strip('"')
    )  # unquoted is no entity tag: RFC 9110, 8.8.3


def stored(tag: str = "1b2c") -> Any:
    return reply(picture(), f'ETag: "{tag}"')


def asked(query: str = "s3key=images/a.png", method: str = "GET", **headers: str) -> dict[str, Any]:
    return http(method, query=query, headers={name.replace("_", "-"): value for name, value in headers.items()})


def tag_of(running: Running, event: dict[str, Any]) -> str:
    answer = running.ask(event)
    assert answer["statusCode"] == 200
    return str(answer["headers"]["etag"])


def test_an_answer_that_the_caller_has_is_304_and_nothing_is_decoded(
    start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(s3=stored())
    tag = tag_of(running, asked())
    assert re.fullmatch('W/"[0-9a-f]{32}"', tag)
    assert "1b2c" not in tag
    monkeypatch.setattr("classifier.pictures.decode.admit", None)  # to look at the picture would fail now

    for method in ("GET", "HEAD"):
        answer = running.ask(asked(method=method, if_none_match=tag))
        assert (answer["statusCode"], answer.get("body", "")) == (304, "")
        headers = answer["headers"]
        assert (headers["etag"], headers["cache-control"], headers["vary"]) == (tag, "no-store", "accept")
        assert "content-type" not in headers


def test_whatever_decides_the_answer_decides_the_tag(start: Callable[..., Running]) -> None:
    running = start(s3=stored())
    events = asked(), asked("s3key=images/a.png&top=1"), asked(accept="text/plain")
    tags = [tag_of(running, event) for event in events]
    assert tag_of(running, asked("top=1&s3key=images/a.png")) == tags[1]
    tags.append(tag_of(start(s3=stored("2")), asked()))
    running.models.served = MODEL.__replace__(version="fedcba9876543210")
    tags.append(tag_of(running, asked()))
    assert len(set(tags)) == len(tags)


def test_a_tag_of_before_gets_the_new_answer(start: Callable[..., Running]) -> None:
    running = start(s3=stored())
    tag_of(running, asked())
    answer = running.ask(asked(if_none_match='W/"00000000000000000000000000000000"'))
    assert (answer["statusCode"], bool(answer["body"])) == (200, True)


def test_a_cold_function_answers_in_full(start: Callable[..., Running]) -> None:
    """It would have to load a model to learn that the caller has the answer, and then has it as well."""
    tag = tag_of(start(s3=stored()), asked())
    assert start(s3=stored()).ask(asked(if_none_match=tag))["statusCode"] == 200


@pytest.mark.parametrize("query", ["s3key=models/x", "s3key=images/a.png&top=0"])
def test_what_is_refused_is_refused_whatever_the_caller_has(query: str, start: Callable[..., Running]) -> None:
    running = start(s3=stored())
    tag_of(running, asked())
    answer = running.ask(asked(query, if_none_match="*"))
    assert (answer["statusCode"], "etag" in answer["headers"]) == (400, False)


def test_a_missing_object_is_404_whatever_the_caller_has(start: Callable[..., Running]) -> None:
    running = start()
    running.models.acquire(0)
    assert running.ask(asked(if_none_match="*"))["statusCode"] == 404


def test_other_ways_in_have_no_tag_and_are_never_304(start: Callable[..., Running]) -> None:
    running = start(fetch=lambda _link, _deadline: picture(), s3=stored())
    posted = http(
        "POST", body='{"s3key": "images/a.png"}', headers={"content-type": "application/json", "if-none-match": "*"}
    )
    for event in (asked("imagelink=http://h/a.png", if_none_match="*"), posted):
        answer = running.ask(event)
        assert (answer["statusCode"], answer["headers"]["cache-control"]) == (200, "no-store")
        assert "etag" not in answer["headers"]


def test_how_long_it_may_be_kept_is_a_setting(start: Callable[..., Running]) -> None:
    running = start(s3=stored(), CACHE_CONTROL="private, max-age=3600", CORS_ALLOW_ORIGIN="https://app.example")
    headers = running.ask(asked())["headers"]
    assert (headers["cache-control"], headers["vary"]) == ("private, max-age=3600", "accept, origin")
    assert running.ask(asked(if_none_match=headers["etag"]))["headers"]["cache-control"] == "private, max-age=3600"
    assert running.ask(http(path="/health"))["headers"]["cache-control"] == "no-store"
