"""Paths and methods."""

from __future__ import annotations

import time

import pytest

from classifier.errors import MethodNotAllowedError, NotFoundError
from classifier.web.events import Request
from classifier.web.responses import Response, json_response
from classifier.web.routes import Exchange, Routes


def _said(what: str) -> Response:
    return json_response({"said": what})


ROUTES = Routes(
    {
        "/": {"GET": lambda _: _said("page")},
        "/classify": {"GET": lambda _: _said("get"), "POST": lambda _: _said("post")},
        "/write": {"POST": lambda _: _said("write")},
    },
    "https://app.example",
    {"GET": lambda _: _said("got"), "POST": lambda _: _said("posted")},
)


def _ask(method: str, path: str, routes: Routes = ROUTES) -> Response:
    request = Request(method=method, path=path, headers={})
    return routes.answer(Exchange(request, "r", time.monotonic() + 1, False, {}, []))


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("GET", "/", "page"),
        ("GET", "//", "page"),
        ("HEAD", "/", "page"),
        ("GET", "/classify", "get"),
        ("GET", "/classify/", "get"),
        ("POST", "/classify", "post"),
        ("POST", "/write/", "write"),
    ],
)
def test_a_known_path_is_answered_with_or_without_its_last_slash(method: str, path: str, said: str) -> None:
    assert _ask(method, path) == _said(said)


@pytest.mark.parametrize("path", ["/classif", "/classify/x", "/Classify", "/classify.json", "", "classify", "/\ud800"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "BREW"])
def test_any_other_path_is_not_found_whatever_the_method(method: str, path: str) -> None:
    if path == "":
        assert ROUTES.table.get(path) is None
        return
    with pytest.raises(NotFoundError) as caught:
        _ask(method, path)
    assert path[:100] in caught.value.public


def test_a_path_is_repeated_cut_short_and_without_a_query() -> None:
    with pytest.raises(NotFoundError) as caught:
        _ask("GET", "/x?signature=secret" + "y" * 500)
    assert caught.value.public == "There is nothing at /x."
    with pytest.raises(NotFoundError) as caught:
        _ask("GET", "/" + "y" * 500)
    assert len(caught.value.public) < 130


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/classify", ("GET", "HEAD", "OPTIONS", "POST")),
        ("POST", "/", ("GET", "HEAD", "OPTIONS")),
        ("GET", "/write", ("OPTIONS", "POST")),
        ("HEAD", "/write", ("OPTIONS", "POST")),
        ("get", "/", ("GET", "HEAD", "OPTIONS")),
    ],
)
def test_any_other_method_is_told_which_are_allowed(method: str, path: str, allow: tuple[str, ...]) -> None:
    with pytest.raises(MethodNotAllowedError) as caught:
        _ask(method, path)
    assert caught.value.allow == allow


def test_options_answers_a_browsers_preflight() -> None:
    response = ROUTES.with_cors(_ask("OPTIONS", "/classify"))
    assert (response.status, response.body) == (204, "")
    assert response.headers == {
        "allow": "GET, HEAD, OPTIONS, POST",
        "access-control-allow-origin": "https://app.example",
        "access-control-allow-methods": "GET, HEAD, OPTIONS, POST",
        "access-control-allow-headers": "accept, authorization, content-encoding, content-type, if-none-match, "
        "x-api-key, x-amz-content-sha256, x-amz-date, x-amz-security-token, "
        "baggage, cache-control, sentry-trace, traceparent, tracestate, x-requested-with, *",
        "access-control-max-age": "86400",
        "access-control-expose-headers": "allow, etag, retry-after, server-timing, "
        "x-explanation, x-model-version, x-unknown-parameters",
        "timing-allow-origin": "https://app.example",
        "vary": "origin",
    }


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/models/a", "GET, HEAD, OPTIONS"),
        ("/v1/models/a:b/versions/1/metadata", "GET, HEAD, OPTIONS"),
        ("/v1/models/a:predict", "OPTIONS, POST"),
        ("/V1/models/a/labels/stable:classify", "OPTIONS, POST"),
    ],
)
def test_options_of_tensorflow_servings_paths_names_the_one_method_that_each_has(path: str, allow: str) -> None:
    headers = _ask("OPTIONS", path).headers
    assert (headers["allow"], headers["access-control-allow-methods"]) == (allow, allow)


def test_without_an_allowed_origin_no_header_says_otherwise() -> None:
    closed = Routes(ROUTES.table, "")
    response = closed.with_cors(_ask("OPTIONS", "/", closed))
    assert response == Response(204, {"allow": "GET, HEAD, OPTIONS"})


def test_with_any_origin_allowed_the_reply_does_not_vary() -> None:
    headers = Routes(ROUTES.table, "*").with_cors(Response(200)).headers
    assert (headers["access-control-allow-origin"], "vary" in headers) == ("*", False)
