"""`POST /feedback`: what a caller says that a picture shows, filed next to the picture that was kept of the request."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from classifier.captures.capture import PREFIX, RECORD, now
from classifier.errors import NotFoundError, RequestError, StorageUnavailableError
from classifier.s3.storage import ObjectMissingError, ObjectUnreadableError
from classifier.web.bodies import Budget, json_type, read_json
from classifier.web.responses import json_response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from classifier.captures.capture import Captures
    from classifier.web.responses import Response
    from classifier.web.routes import Exchange

SUFFIX = ".feedback.json"
NONE_OF_THESE = "none of these"
FIELDS = ("request_id", "label")
MOST_BYTES = 4_096
REQUEST_ID = re.compile("[A-Za-z0-9-]{1,80}")
"""What Lambda and our WSGI front give a request, with `-` and a number after it for one of several pictures."""
STORE_S = 5.0
TOLD_LABELS = 10


def answer(exchange: Exchange, captures: Captures, labels_of: Callable[[str], Sequence[str]]) -> Response:
    """File the feedback of one request; the last counts. `labels_of` gives the labels of the model of a name.

    RequestError says what is wrong with the body, NotFoundError that no picture was kept of that request.
    """
    asked, label = _read(exchange.request.body)
    deadline = min(exchange.deadline, time.monotonic() + STORE_S)
    record = _record(captures, asked, deadline)
    known = labels_of(str(record.get("model", {}).get("name", "")))
    if label not in known and label != NONE_OF_THESE:
        raise RequestError(public=f"label is {label[:80]!r}: expected {_told(known)} or {NONE_OF_THESE!r}.")
    said = {"request_id": asked, "label": label, "time": now()}
    data, key = json.dumps(said).encode(), PREFIX + asked + SUFFIX
    try:
        captures.s3.put(captures.bucket, key, data, deadline, content_type="application/json")
    except ObjectMissingError as error:
        raise StorageUnavailableError(str(error)) from error
    first = (record.get("predictions") or [{}])[0].get("label")
    exchange.log["feedback"] = "right" if label == first else "wrong"
    return json_response({"feedback": said, "request_id": exchange.request_id})


def _read(body: bytes) -> tuple[str, str]:
    if len(body) > MOST_BYTES:
        raise RequestError(public=f"The body has {len(body)} bytes; feedback is JSON of at most {MOST_BYTES}.")
    document = read_json(body, Budget())
    if unknown := sorted(document.keys() - {*FIELDS}):
        raise RequestError(public=f"{unknown[0][:80]} is no field of feedback: expected request_id and label.")
    for name in FIELDS:
        if not isinstance(value := document.get(name), str):
            what = f"{name} is missing" if name not in document else f"{name} must be a string, not {json_type(value)}"
            raise RequestError(public=f"{what}: feedback is JSON with request_id and label.")
    asked, label = document["request_id"], document["label"]
    if not REQUEST_ID.fullmatch(asked):
        raise RequestError(public=f"request_id is {asked[:80]!r}: expected the request_id of a reply of /classify.")
    return asked, label


def _record(captures: Captures, asked: str, deadline: float) -> dict[str, Any]:
    """What was kept of the request, but the picture."""
    try:
        headers = captures.s3.head(captures.bucket, PREFIX + asked, deadline)
        found = json.loads(headers.get(f"x-amz-meta-{RECORD}", "{}"))
    except ObjectMissingError as error:
        text = f"No picture of the request {asked} is kept: some are, for some weeks, and their replies say kept."
        raise NotFoundError(str(error), public=text) from error
    except ObjectUnreadableError as error:
        raise StorageUnavailableError(str(error)) from error
    except ValueError:
        return {}  # somebody else's object
    return found if isinstance(found, dict) else {}


def _told(labels: Sequence[str]) -> str:
    few = ", ".join(repr(label[:80]) for label in labels[:TOLD_LABELS])
    return few if len(labels) <= TOLD_LABELS else f"{few} or another label that GET /model lists,"
