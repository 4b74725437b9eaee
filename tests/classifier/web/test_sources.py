"""Where a request's picture comes from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from classifier.errors import AmbiguousInputError, MissingInputError, RequestError
from classifier.web.events import Request
from classifier.web.sources import Question, Upload
from tests.support.questions import BASE64, FORM, KEY, LINK, MULTIPART, PICTURE, UPLOAD, ask, ask_direct, form, one


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
        lambda: ask(form(("file", PICTURE), ("file", PICTURE)), MULTIPART),
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
