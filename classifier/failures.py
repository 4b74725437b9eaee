"""What a request that failed leaves: the reply in its clients' form, a hint at what was meant, and the log's level."""

from __future__ import annotations

from copy import replace
from typing import TYPE_CHECKING

from classifier.errors import ClassifierError, ImageError, ModelLoadingError, RequestError
from classifier.web import parameters
from classifier.web.responses import Response, error_response
from classifier.web.routes import is_serving_path

if TYPE_CHECKING:
    from classifier.web.events import Request

CLASSIFY = "/classify"


def refusal(failure: ClassifierError, request: Request | None, request_id: str) -> Response:
    """The error in the form that the path's clients understand."""
    if request is None or not is_serving_path(request.path):
        return error_response(failure, request_id)
    from classifier.tf_serving import protocol as serving_protocol

    return serving_protocol.error_response(failure)


def add_hint(failure: ClassifierError, request: Request | None, unread: list[str]) -> None:
    """Say what the caller may have meant: a misspelt parameter, a link cut at its own `&`, an upload that is no file.

    `unread` are the fields that nobody reads.
    """
    if request is None or request.path.rstrip("/") != CLASSIFY or failure.status >= 500:
        return
    if request.body and (isinstance(failure, ImageError) or type(failure) is RequestError):
        from classifier.web.mistakes import better_said

        failure.public = better_said(failure, request)
    if hint := parameters.hint(parameters.unknown(unread), request.query):
        failure.public = f"{failure.public} {hint}"


def with_unknown(response: Response, unread: list[str]) -> Response:
    """The response with a header that names the fields which nobody reads."""
    if not (names := parameters.unknown(unread)):
        return response
    told = ", ".join("".join(char if char.isascii() and char.isprintable() else "?" for char in name) for name in names)
    return replace(response, headers={**response.headers, "x-unknown-parameters": told})


def unexpected(error: Exception) -> ClassifierError:
    """A fault of ours, as the error that it is to callers."""
    found = ClassifierError(f"{type(error).__name__}: {error}")  # repr may hold what the caller sent
    found.__cause__ = error
    return found


def level(failure: ClassifierError | None) -> str:
    """The level of the request's line."""
    if failure is None:
        return "info"
    if isinstance(failure, ModelLoadingError):
        return "warning"  # a slow cold start is no fault that anybody can mend
    return "error" if failure.status >= 500 else "warning"
