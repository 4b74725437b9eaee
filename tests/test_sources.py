"""Where a request's picture comes from."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import strategies as st

from classifier.errors import (
    AmbiguousInputError,
    ImageTooLargeError,
    MissingInputError,
    RequestError,
)
from classifier.events import Request
from classifier.sources import Key, Link, Question, Upload, decode_base64, read_question

if TYPE_CHECKING:
    from collections.abc import Callable

MAX = 1000
PICTURE = b"\xff\xd8\xff\xe0 picture\x00"
BASE64 = base64.b64encode(PICTURE).decode()
FUZZ = hypothesis.settings(max_examples=150, deadline=None, database=None)


def one(request: Request) -> Question:
    """The question of a request about one picture."""
    question = read_question(request, MAX, 3)
    assert isinstance(question, Question)
    return question


def ask(
    body: bytes | str = b"",
    content_type: str | None = None,
    *,
    query: dict[str, str] | None = None,
    method: str = "POST",
) -> Question:
    """The question of an HTTP request."""
    headers = {} if content_type is None else {"content-type": content_type}
    data = body.encode() if isinstance(body, str) else body
    request = Request(method=method, path="/classify", query=tuple((query or {}).items()), headers=headers, body=data)
    return one(request)


def ask_direct(document: dict[str, Any]) -> Question:
    """The question of a direct invocation."""
    return one(Request(method="POST", path="/classify", headers={}, document=document))


def form(*parts: tuple[str, bytes], boundary: str = "b", extra: str = "") -> bytes:
    """A multipart body."""
    rendered = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in parts
    )
    return rendered + f"--{boundary}--\r\n".encode()


LINK = Question(Link("http://h/a+b.jpg"), None)
KEY = Question(Key("images/space plus+file.jpg"), None)
UPLOAD = Question(Upload(PICTURE), None)
MULTIPART = "multipart/form-data; boundary=b"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (lambda: ask(query={"imagelink": "http://h/a+b.jpg"}, method="GET"), LINK),
        (lambda: ask(query={"s3key": "images/space plus+file.jpg"}, method="GET"), KEY),
        (lambda: ask(query={"imagelink": "", "s3key": "images/space plus+file.jpg", "top": ""}, method="GET"), KEY),
        (lambda: ask(b"ignored", "image/jpeg", query={"imagelink": "http://h/a+b.jpg"}, method="GET"), LINK),
        (lambda: ask(PICTURE, "image/jpeg"), UPLOAD),
        (lambda: ask(PICTURE, "application/octet-stream"), UPLOAD),
        (lambda: ask(PICTURE, "text/plain"), UPLOAD),
        (lambda: ask(PICTURE), UPLOAD),
        (lambda: ask(PICTURE, FORM), UPLOAD),  # curl --data-binary @picture.jpg
        (lambda: ask(b"ascii\0", FORM), Question(Upload(b"ascii\0"), None)),
        (lambda: ask("imagelink=http://h/a+b.jpg", FORM), LINK),
        (lambda: ask("imagelink=http%3A%2F%2Fh%2Fa%2Bb.jpg\r\n", f"{FORM}; charset=UTF-8"), LINK),
        (lambda: ask("s3key=images/space+plus%2Bfile.jpg", FORM), KEY),
        (lambda: ask(' {"imagelink": "http://h/a+b.jpg"}', FORM), LINK),  # curl -d '{...}'
        (lambda: ask('{"imagelink": "http://h/a+b.jpg"}', "application/json"), LINK),
        (lambda: ask('\ufeff{"imagelink": "http://h/a+b.jpg"}', "application/json; charset=utf-8"), LINK),
        (lambda: ask('{"s3key": "images/space plus+file.jpg", "other": [1]}', "application/vnd.api+json"), KEY),
        (lambda: ask(json.dumps({"image": BASE64}), "APPLICATION/JSON"), UPLOAD),
        (lambda: ask(json.dumps({"image": f"data:image/jpeg;base64,{BASE64}"}), "application/json"), UPLOAD),
        (lambda: ask(json.dumps({"image": f"DATA:;BASE64,{BASE64}"}), "application/json"), UPLOAD),
        (lambda: ask(json.dumps({"image": f"{BASE64[:8]}\r\n{BASE64[8:]}\n"}), "application/json"), UPLOAD),
        (lambda: ask(json.dumps({"image": BASE64, "s3key": None, "imagelink": ""}), "application/json"), UPLOAD),
        (lambda: ask(form(("file", PICTURE)), MULTIPART), UPLOAD),
        (lambda: ask(form(("file", PICTURE), extra='; filename="C:\\ü \\"1\\".jpg"'), MULTIPART), UPLOAD),
        (lambda: ask(form(("image", PICTURE)), MULTIPART), UPLOAD),
        (lambda: ask(form(("file", b""), ("s3key", b"images/space plus+file.jpg")), MULTIPART), KEY),
        (
            lambda: ask(form(("imagelink", b"http://h/a+b.jpg"), ("note", b"x")), 'Multipart/Form-Data; boundary="b"'),
            LINK,
        ),
        (lambda: ask_direct({"imagelink": "http://h/a+b.jpg"}), LINK),
        (lambda: ask_direct({"s3key": "images/space plus+file.jpg"}), KEY),
        (lambda: ask_direct({"image": BASE64}), UPLOAD),
    ],
)
def test_each_way_in_leads_to_its_source(question: Any, expected: Question) -> None:
    assert question() == expected


@pytest.mark.parametrize(
    ("question", "top"),
    [
        (lambda: ask(query={"s3key": "k", "top": "1"}), 1),
        (lambda: ask(query={"s3key": "k", "top": "10000"}), 10000),
        (lambda: ask(query={"s3key": "k", "top": "007"}), 7),
        (lambda: ask(PICTURE, "image/png", query={"top": "2"}), 2),
        (lambda: ask('{"s3key": "k", "top": 3}', "application/json"), 3),
        (lambda: ask('{"s3key": "k", "top": "3"}', "application/json"), 3),
        (lambda: ask(form(("file", PICTURE), ("top", b"4")), MULTIPART), 4),
        (lambda: ask_direct({"s3key": "k", "top": 5}), 5),
    ],
)
def test_top_is_a_whole_number_wherever_it_stands(question: Any, top: int) -> None:
    assert question().top == top


@pytest.mark.parametrize(
    "top", [0, -1, 10001, 1.0, 2.5, True, "0", "-1", "+1", "1.0", "1e1", "٣", " 1", "1" * 7, [], {}]
)
def test_any_other_top_is_refused(top: object) -> None:
    with pytest.raises(RequestError, match="top must be a whole number from 1 to 10000"):
        ask_direct({"s3key": "k", "top": top})


@pytest.mark.parametrize(
    "question",
    [
        lambda: ask(),
        lambda: ask(method="GET"),
        lambda: ask(query={"imagelink": "", "top": "3"}),
        lambda: ask(query={"link": "http://h/a.jpg"}),
        lambda: ask("", "application/x-www-form-urlencoded"),
        lambda: ask("{}", "application/json"),
        lambda: ask(form(("file", b"")), MULTIPART),
        lambda: ask(form(("photo", b"x")), MULTIPART),
        lambda: ask(form(), MULTIPART),
        lambda: ask(PICTURE, "image/jpeg", method="GET"),
        lambda: ask_direct({}),
        lambda: ask_direct({"file": "x"}),
    ],
)
def test_nothing_given_is_missing_input(question: Any) -> None:
    with pytest.raises(MissingInputError):
        question()


@pytest.mark.parametrize(
    "question",
    [
        lambda: ask(query={"imagelink": "http://h/", "s3key": "k"}),
        lambda: ask(PICTURE, "image/jpeg", query={"s3key": "k"}),
        lambda: ask('{"imagelink": "http://h/", "image": "YQ=="}', "application/json"),
        lambda: ask('{"s3key": "k"}', "application/json", query={"s3key": "k"}),
        lambda: ask(form(("file", b"a"), ("file", b"b")), MULTIPART),
        lambda: ask("s3key=a&s3key=b", FORM),
        lambda: one(Request(method="GET", path="/classify", headers={}, query=(("s3key", "a"), ("s3key", "a")))),
    ],
)
def test_two_pictures_are_ambiguous_even_if_they_are_the_same(question: Any) -> None:
    with pytest.raises(AmbiguousInputError):
        question()


def test_top_given_twice_is_refused() -> None:
    with pytest.raises(RequestError, match="more than once"):
        ask('{"s3key": "k", "top": 3}', "application/json", query={"top": "3"})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "Give a picture"),
        ("{", "not valid JSON"),
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
        ('{"image": "YQ-_"}', "not valid base64"),
        ('{"image": "ä"}', "not valid base64"),
        ('{"image": "\\ud800"}', "not valid base64"),
        ('{"image": "data:image/png,abc"}', "without ;base64"),
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
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", MULTIPART),
        (b"--b\r\n\r\nx\r\n--b--\r\n", MULTIPART),
        (b"--b\r\nContent-Disposition: attachment; name=file\r\n\r\nx\r\n--b--\r\n", MULTIPART),
        (b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--b--\r\n', MULTIPART),
        (b"--b\r\n" + b"A: b\r\n" * 100 + b"\r\nx\r\n--b--\r\n", MULTIPART),
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
