"""`POST /feedback`: what is filed, and the sentence that everything else gets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.application import lines, picture
from tests.support.capturing import Service
from tests.support.capturing import serve as serve
from tests.support.troubled_s3 import TroubledS3

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Bucket

type Serve = Callable[..., Service]


def test_what_a_caller_says_lies_next_to_the_picture_and_the_last_counts(serve: Serve, capsys: Any) -> None:
    service = serve()
    request_id = service.classify()["request_id"]
    for label in ("red", "blue"):
        answer = service.feedback(request_id=request_id, label=label)
        assert (answer.status, answer.json()["feedback"]["label"]) == (200, label)
        assert answer.json()["request_id"] not in ("", request_id)
    assert service.keys() == [f"captures/{request_id}", f"captures/{request_id}.feedback.json"]
    got = service.bucket.boto.get_object(Bucket=service.bucket.name, Key=service.keys()[1])
    filed = json.loads(got["Body"].read())
    assert filed == answer.json()["feedback"]
    assert filed.keys() == {"request_id", "label", "time"}
    assert [line["feedback"] for line in lines(capsys) if "feedback" in line] == ["right", "wrong"]


def test_each_picture_of_several_has_feedback_of_its_own(serve: Serve) -> None:
    service = serve()
    request_id = service.batch(picture(), picture())["request_id"]
    assert service.feedback(request_id=f"{request_id}-1", label="none of these").status == 200
    assert service.keys()[-1] == f"captures/{request_id}-1.feedback.json"
    assert service.feedback(request_id=request_id, label="red").status == 404


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"request_id": "KEPT", "label": "redd"}, 400, "label is 'redd': expected 'red', 'blue' or 'none of these'."),
        ({"request_id": "KEPT"}, 400, "label is missing: feedback is JSON with request_id and label."),
        ({"request_id": "KEPT", "label": None}, 400, "label must be a string, not null: feedback is JSON with"),
        ({"label": "red"}, 400, "request_id is missing"),
        ({"request_id": "KEPT", "label": "red", "picture": "x"}, 400, "picture is no field of feedback: expected"),
        ({"request_id": "../images/a", "label": "red"}, 400, "request_id is '../images/a': expected the request_id of"),
        ({"request_id": "KEPT.feedback.json", "label": "red"}, 400, "expected the request_id of a reply of /classify."),
        ({"request_id": "0f" * 16, "label": "red"}, 404, f"No picture of the request {'0f' * 16} is kept: some are"),
        ({"request_id": "KEPT", "label": "x" * 5000}, 400, "feedback is JSON of at most 4096."),
        (b"request_id=1&label=red", 400, "The body is not valid JSON"),
        (b"[1]", 400, "The body must be a JSON object, not a list."),
        (b"", 400, "The body is not valid JSON"),
    ],
)
def test_anything_else_gets_a_sentence_and_files_nothing(
    serve: Serve, body: dict[str, str] | bytes, status: int, sentence: str
) -> None:
    service = serve()
    request_id = service.classify()["request_id"]
    sent = body if isinstance(body, bytes) else json.dumps(body).replace("KEPT", request_id).encode()
    answer = service.post("/feedback", sent, content_type="application/json")
    assert (answer.status, sentence in answer.json()["error"]["message"]) == (status, True), answer.data
    assert service.keys() == [f"captures/{request_id}"]


def test_an_object_of_somebody_elses_is_taken_for_a_picture_of_no_known_answer(serve: Serve) -> None:
    service = serve()
    service.bucket.put("captures/mine", picture())
    assert service.feedback(request_id="mine", label="red").status == 200


@pytest.mark.parametrize("method", ["HEAD", "PUT"])
def test_feedback_that_could_not_be_filed_is_said_to_be_worth_another_try(
    serve: Serve, bucket: Bucket, method: str
) -> None:
    with TroubledS3(bucket.endpoint_url) as troubled:
        service = serve(endpoint=troubled.url)
        request_id = service.classify()["request_id"]
        troubled.fault = lambda _number, asked: "503" if asked == method else None
        answer = service.feedback(request_id=request_id, label="red")
        assert (answer.status, answer.json()["error"]["code"]) == (503, "storage_unavailable")
        troubled.fault = lambda _number, asked: "403" if asked == method else None
        denied = service.feedback(request_id=request_id, label="red")
        assert denied.status == {"HEAD": 404, "PUT": 503}[method]  # S3 says of what isn't there that it is denied


def test_a_page_of_the_allowed_origin_may_send_feedback(serve: Serve) -> None:
    service = serve()
    answer = service.post("/feedback", b"", content_type="application/json")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert service.get("/feedback").status == 405
