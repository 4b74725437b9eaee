"""Requests about one picture, in each form that a caller may send, and the question that each one asks."""

from __future__ import annotations

import base64
from typing import Any

import hypothesis

from classifier.web.events import Request
from classifier.web.questions import read_question
from classifier.web.sources import Key, Link, Question, Upload

MAX = 1000
PICTURE = b"\xff\xd8\xff\xe0 picture\x00"
BASE64 = base64.b64encode(PICTURE).decode()
FUZZ = hypothesis.settings(max_examples=150, deadline=None, database=None)


def one(request: Request) -> Question:
    """The question of a request about one picture."""
    question = read_question(request, MAX, 3).question
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
