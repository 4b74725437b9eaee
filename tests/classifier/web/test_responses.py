"""Replies and errors as callers see them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from classifier.errors import (
    ClassifierError,
    MethodNotAllowedError,
    ModelLoadingError,
    OutOfTimeError,
    UrlHostError,
)
from classifier.web.responses import (
    classification_response,
    error_response,
    json_response,
    prefers_text,
    server_timing,
)

COMMON = {"content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff"}
REPLY: dict[str, Any] = {
    "predictions": [{"label": "T-shirt", "score": 0.98710001}, {"label": "hat", "score": 1e-7}],
    "model": {"name": "m", "version": "0123456789abcdef", "engine": "litert"},
    "timings_ms": {"fetch": 41.2, "total": 50.35},
}


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/plain", True),
        ("TEXT/PLAIN", True),
        ("text/plain; charset=utf-8", True),
        ("text/*", True),
        ("text/plain, */*", True),
        ("*/*, text/plain", True),
        ("text/plain, */*; q=0.01", True),
        ("application/json, text/plain, */*", False),
        ("application/json;q=0.9, text/plain", True),
        ("application/json, text/plain;q=0.9", False),
        ("text/plain;q=0.5, */*", False),
        ("text/plain;q=0", False),
        ("text/plain;q=0, application/json;q=0", False),
        ("application/json;q=0, */*", True),
        ("text/*;q=0.5, application/json;q=0.4", True),
        ("text/*, text/plain;q=0.1, application/*;q=0.2", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", False),
        ("image/png", False),
        ("text/plain;q=high", False),
        ("text/plain;q=nan", False),
        ("text/plain;q=7, application/json", False),
        (",;=,;q=1,,", False),
    ],
)
def test_accept_chooses_between_json_and_text(accept: str, text: bool) -> None:
    assert prefers_text(accept) is text


def test_a_reply_as_json_carries_its_timings_twice() -> None:
    response = classification_response(REPLY, as_text=False)
    assert (response.status, json.loads(response.body)) == (200, REPLY)
    assert response.headers == {**COMMON, "server-timing": "fetch;dur=41.2, total;dur=50.35"}


def test_a_reply_as_text_is_one_prediction_a_line() -> None:
    response = classification_response(REPLY, as_text=True)
    assert response.body == "T-shirt (score = 0.98710)\nhat (score = 0.00000)\n"
    assert response.headers == {
        **COMMON,
        "content-type": "text/plain; charset=utf-8",
        "server-timing": "fetch;dur=41.2, total;dur=50.35",
        "x-model-version": "0123456789abcdef",
    }


@pytest.mark.parametrize("label", ["a\nhat (score = 1.0)", "a\r\nx", "a\u2028b", "a\x1b[31mb", "a\x00b", "a\x85b"])
def test_a_label_can_forge_neither_a_line_nor_a_header(label: str) -> None:
    reply = {**REPLY, "predictions": [{"label": label, "score": 0.5}]}
    text = classification_response(reply, as_text=True)
    assert len(text.body.splitlines()) == 1
    assert text.body.removesuffix("\n").isprintable()
    assert json.loads(classification_response(reply, as_text=False).body)["predictions"][0]["label"] == label
    for value in text.headers.values():
        assert value.isprintable()


def test_half_a_surrogate_pair_leaves_a_body_that_can_be_sent() -> None:
    reply = {**REPLY, "predictions": [{"label": "\ud800", "score": 0.5}]}
    for as_text in (True, False):
        body = classification_response(reply, as_text=as_text).body
        assert body.encode("utf-8", "strict").decode() == body


def test_json_keeps_letters_of_every_alphabet() -> None:
    assert json_response({"label": "Müller 鞋"}).body == '{"label":"Müller 鞋"}'


@pytest.mark.parametrize(
    ("error", "status", "headers", "code", "message"),
    [
        (ClassifierError("secret"), 500, {}, "internal_error", ClassifierError.text),
        (UrlHostError("10.0.0.1 is private"), 400, {}, "url_host_not_allowed", UrlHostError.text),
        (ModelLoadingError("secret"), 503, {"retry-after": "5"}, "model_loading", ModelLoadingError.text),
        (OutOfTimeError("secret"), 503, {"retry-after": "1"}, "processing_timeout", OutOfTimeError.text),
        (
            MethodNotAllowedError("PUT", ("GET", "HEAD")),
            405,
            {"allow": "GET, HEAD"},
            "method_not_allowed",
            "Use GET or HEAD here.",
        ),
    ],
)
def test_an_error_is_code_sentence_and_request_id(
    error: ClassifierError, status: int, headers: dict[str, str], code: str, message: str
) -> None:
    response = error_response(error, "r-1")
    assert (response.status, response.headers) == (status, {**COMMON, **headers})
    assert json.loads(response.body) == {"error": {"code": code, "message": message}, "request_id": "r-1"}


def test_server_timing_is_in_milliseconds_without_exponents() -> None:
    assert (
        server_timing({"fetch": 0.01, "load": 28123.45, "total": 5}) == "fetch;dur=0.01, load;dur=28123.5, total;dur=5"
    )
