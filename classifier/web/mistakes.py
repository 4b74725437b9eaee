"""What most often is wrong with a body that can't be read, or is no picture; imported only when that has happened."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from classifier.errors import ImageFormatError, RequestError
from classifier.web.uploads import PICTURE_FIELDS, not_a_file, read_form, shown_text

if TYPE_CHECKING:
    from classifier.errors import ClassifierError
    from classifier.web.events import Request

_STRIPPED_BY_CURL = b"\r\n\0"
"""What `curl -d @FILE` leaves out of a file (curl's manual, --data)."""
_REPLACED = "\ufffd".encode()
_FORM = re.compile(rb"\s*--[^\r\n]{1,80}\r?\nContent-Disposition: form-data", re.IGNORECASE)
_UNLIKELY_BYTES = 1_500
"""A picture of that many bytes has one of those three, but for one in 40 million of them."""


def better_said(failure: ClassifierError, request: Request) -> str:
    """The message for the caller: the failure's own, or one that names how the upload went wrong."""
    kind = request.headers.get("content-type", "").strip().lower()
    body = request.body
    if kind.startswith("multipart/form-data"):
        return (isinstance(failure, ImageFormatError) and _text_for_a_file(request)) or failure.public
    if _FORM.match(body[:200]):
        return f"{failure.public} The body is a form: let your client set Content-Type, as only it knows the boundary."
    if kind.startswith("application/x-www-form-urlencoded"):
        if len(body) > _UNLIKELY_BYTES and not any(byte in _STRIPPED_BY_CURL for byte in body):
            return f"{failure.public} Line ends are missing in it, as with curl -d: use --data-binary @FILE instead."
    elif _REPLACED in body and kind.startswith(("text/", "application/")):
        name = kind.partition(";")[0]
        return (
            f"{failure.public} It came as {name[:40]}, of which gateways make text, so a picture's bytes are lost: "
            "send it as image/jpeg or application/octet-stream."
        )
    return failure.public


def _text_for_a_file(request: Request) -> str:
    """What to say of a form whose picture is a line of text; empty if it is none."""
    try:
        parts = read_form(request.body, request.headers.get("content-type", ""), len(request.body))
    except RequestError:
        return ""
    for part in parts:
        if (part.is_file or part.name in PICTURE_FIELDS) and (text := shown_text(part.data)):
            return not_a_file(part.name, text)
    return ""
