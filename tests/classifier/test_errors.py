"""The error tree that callers rely on."""

from __future__ import annotations

import re

import pytest

from classifier import errors
from classifier.errors import ClassifierError, MethodNotAllowedError

_LINE = re.compile(r"^    ([│├└─ ]*)(\w+Error)\s+(\d{3}) (\w+)$", re.MULTILINE)


def _every(base: type[ClassifierError] = ClassifierError) -> list[type[ClassifierError]]:
    return [base, *(one for child in base.__subclasses__() for one in _every(child))]


def _drawn() -> list[tuple[str, str | None, int, str]]:
    rows: list[tuple[str, str | None, int, str]] = []
    parents: list[str] = []
    for indent, name, status, code in _LINE.findall(errors.__doc__ or ""):
        depth = len(indent) // 4
        parents[depth:] = [name]
        rows.append((name, parents[depth - 1] if depth else None, int(status), code))
    return rows


def test_the_drawing_in_the_docstring_is_the_tree_in_the_code() -> None:
    tree = [
        (one.__name__, None if one is ClassifierError else one.__bases__[0].__name__, one.status, one.code)
        for one in _every()
        if one.__module__ == errors.__name__
    ]
    assert _drawn() == tree


@pytest.mark.parametrize("kind", [kind for kind in _every() if kind.__module__ == errors.__name__])
def test_each_class_has_a_sentence_for_the_caller_that_its_detail_never_replaces(kind: type[ClassifierError]) -> None:
    if kind is MethodNotAllowedError:
        return
    error = kind("s3://secret-bucket/key at 10.0.0.1")
    assert str(error) == "s3://secret-bucket/key at 10.0.0.1"
    assert error.public == kind.text
    assert kind.text.endswith(".")


def test_only_what_may_work_later_says_when_to_try_again() -> None:
    retryable = {kind.status for kind in _every() if kind.retry_after_s is not None}
    assert retryable == {503}
    assert all(kind.retry_after_s for kind in _every() if kind.status == 503)


def test_faults_of_the_caller_and_of_the_origin_are_never_5xx() -> None:
    for kind in (errors.RequestError, errors.LinkError, errors.FetchError, errors.ImageError, errors.S3KeyError):
        assert {one.status // 100 for one in _every(kind)} == {4}


def test_method_not_allowed_names_the_methods_that_are() -> None:
    error = MethodNotAllowedError("PATCH", ("GET", "HEAD"))
    assert (error.allow, error.public) == (("GET", "HEAD"), "Use GET or HEAD here.")
