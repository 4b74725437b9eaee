"""Bodies that are no question: what each one's error says, and that no bytes at all are an accident."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING

import hypothesis
import pytest
from hypothesis import strategies as st

from classifier.errors import ImageTooLargeError, RequestError
from classifier.web.sources import Question, Upload
from classifier.web.uploads import decode_base64
from tests.support.questions import FORM, FUZZ, MAX, MULTIPART, PICTURE, ask, ask_direct, form

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "Give a picture"),
        ("{", "not valid JSON"),
        ('{"image": "abc', "not valid JSON: Unterminated string starting at line 1, column 11."),
        ('{"image": "a\tb"}', "not valid JSON: Invalid control character at line 1, column 13."),
        ("[]", "not a list"),
        ('"x"', "not a string"),
        ("null", "not null"),
        ("true", "not true or false"),
        ("5", "not a number"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("1" * 5000, "a number is too long"),
        (b'{"s3key": "\xff"}', "not UTF-8"),
        ('{"s3key": "a", "s3key": "b"}', "given twice"),
        ('{"s3key": 5}', "s3key must be a string, not a number"),
        ('{"imagelink": ["http://h/"]}', "imagelink must be a string, not a list"),
        ('{"imagelink": {}}', "imagelink must be a string, not an object"),
        ('{"image": true}', "image must be a string, not true or false"),
        ('{"image": "a"}', "not valid base64"),
        ('{"image": "YQ=*"}', "not valid base64"),
        ('{"image": "YQ==YQ=="}', "not valid base64"),
        ('{"image": "YQ.."}', "not valid base64"),
        ('{"image": "ä"}', "not valid base64"),
        ('{"image": "\\ud800"}', "not valid base64"),
        ('{"image": "data:image/png,abc"}', "without ;base64"),
        (json.dumps(dict.fromkeys(map(str, range(101)))), "There are 101 parameters; at most 100 are read."),
    ],
)
def test_json_that_is_no_question_says_what_is_wrong(body: str | bytes, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        ask(body, "application/json")
    assert says in caught.value.public


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (form(("file", PICTURE)), "multipart/form-data"),
        (form(("file", PICTURE)), "multipart/form-data; boundary="),
        (form(("file", PICTURE)), "multipart/form-data; boundary=other"),
        (form(("file", PICTURE))[:-6], MULTIPART),
        (form(("file", PICTURE))[: len(PICTURE)], MULTIPART),
        (PICTURE, MULTIPART),
        (b"--b\r\n" + b"A: b\r\n" * 10_000 + b"\r\nx\r\n--b--\r\n", MULTIPART),
        (b"--b\r\nA: b\r\n--b--\r\n", MULTIPART),
        (b"--bb\r\nA: b\r\n\r\nx\r\n--bb--\r\n", MULTIPART),
        (b"--b\r\n" + b"A" * 100_000 + b"\r\n\r\nx\r\n--b--\r\n", MULTIPART),
        (form(*[("note", b"x")] * 21), MULTIPART),
        (form(("note", b"x" * 10_001), ("file", PICTURE)), MULTIPART),
        (form(("note", b"x" * 500_000), ("file", PICTURE)), MULTIPART),
    ],
)
def test_a_malformed_or_excessive_form_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(RequestError) as caught:
        ask(body, content_type)
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize("size", [MAX, MAX + 1])
def test_the_limit_on_bytes_is_the_same_for_every_upload(size: int) -> None:
    data = b"\xff" * size
    encoded = base64.b64encode(data).decode()
    questions: tuple[Callable[[], Question], ...] = (
        lambda: ask(data, "image/jpeg"),
        lambda: ask(data, FORM),
        lambda: ask(form(("file", data)), MULTIPART),
        lambda: ask(json.dumps({"image": encoded}), "application/json"),
        lambda: ask_direct({"image": encoded}),
    )
    for question in questions:
        if size <= MAX:
            assert question() == Question(Upload(data), None)
            continue
        with pytest.raises(ImageTooLargeError) as caught:
            question()
        assert "1000" in caught.value.public


@FUZZ
@hypothesis.given(
    st.binary(max_size=200), st.sampled_from(["application/json", FORM, MULTIPART, "", "image/png", ";;="])
)
def test_any_body_is_a_question_or_the_callers_error(body: bytes, content_type: str) -> None:
    with contextlib.suppress(RequestError, ImageTooLargeError):
        assert isinstance(ask(body, content_type), Question)


@FUZZ
@hypothesis.given(st.data())
def test_any_damage_to_a_form_is_survived(data: st.DataObject) -> None:
    body = bytearray(form(("file", PICTURE), ("top", b"3"), extra='; filename="a.jpg"'))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(RequestError, ImageTooLargeError):
        assert isinstance(ask(bytes(body), MULTIPART), Question)


@FUZZ
@hypothesis.given(st.text('boundary="; =bäé\\\x00', max_size=30))
def test_any_content_type_of_a_form_is_survived(options: str) -> None:
    with contextlib.suppress(RequestError, ImageTooLargeError):
        assert isinstance(ask(form(("file", PICTURE)), f"multipart/form-data;{options}"), Question)


@FUZZ
@hypothesis.given(st.binary(max_size=60))
def test_base64_gives_back_what_was_encoded(data: bytes) -> None:
    assert decode_base64(base64.encodebytes(data).decode()) == data


def test_what_was_sent_is_in_no_error() -> None:
    for body, content_type in (
        ('{"image": "c2VjcmV0c2VjcmV0*"}', "application/json"),
        (form(("file", b"c2VjcmV0"))[:-9], MULTIPART),
        ('{"c2VjcmV0" 1', "application/json"),
    ):
        with pytest.raises(RequestError) as caught:
            ask(body, content_type)
        assert "c2VjcmV0" not in f"{caught.value} {caught.value.public}"
