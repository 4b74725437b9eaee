"""What classify-all makes of each answer, from the API or from its own process, and what it asks again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from classifier.bulk.rows import Row
from lifecycle.bulk.asking import Api, settled_rows
from lifecycle.errors import PlaceError
from tests.conftest import Bucket
from tests.support.origin import Origin, reply

if TYPE_CHECKING:
    from tests.support.origin import Behaviour


class Weather:
    """Answers as it is told to, one attempt after the other."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)

    def rows(self, keys: Any) -> list[Row]:
        status = self.statuses.pop(0)
        error = {"error": {"code": "c", "message": "m"}, "status": status}
        return [{"key": key, **({} if status == 200 else error)} for key in keys]


def test_only_what_may_pass_is_asked_again_and_not_for_ever() -> None:
    assert settled_rows(Weather(503, 503, 200), ["a"], (0, 0)) == [{"key": "a"}]
    assert settled_rows(Weather(415), ["a"], (0, 0))[0]["status"] == 415
    with pytest.raises(PlaceError, match="a: c: m"):
        settled_rows(Weather(503, 503, 503), ["a"], (0, 0))


OURS = json.dumps(
    {
        "predictions": [{"label": "hat", "score": 0.9}],
        "model": {"name": "classifier", "version": "v1", "engine": "litert"},
        "image": {"source": "upload", "format": "JPEG", "width": 1, "height": 2},
    }
).encode()
REFUSAL = b'{"error": {"code": "invalid_image", "message": "broken"}, "request_id": "r"}'


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (reply(OURS), None, None),
        (reply(REFUSAL, status="422 Unprocessable"), 422, "invalid_image"),
        (reply(b'{"message": "Request Too Long"}', status="413 Too Large"), 413, "image_too_large"),
        (reply(b"<html>", status="500 Oops"), 500, "internal_error"),
        (reply(b'{"message": "Too Many Requests"}', status="429 Too Many"), 503, "model_unavailable"),
        (reply(b'{"message": "Service Unavailable"}', status="503 Busy"), 503, "model_unavailable"),
        (reply(OURS, length=9999), 503, "model_unavailable"),
    ],
)
def test_what_the_api_answers_becomes_a_row(
    bucket: Bucket, answer: Behaviour, status: int | None, code: str | None
) -> None:
    from classifier.service import ImageStore

    bucket.put("images//odd key.jpg", b"picture")
    pictures = ImageStore(bucket.s3, bucket.name, "", 1000)
    with Origin({"/classify": answer}) as origin:
        api = Api(pictures, origin.url("/"), {}, 2, 1)
        (row,) = api.rows(["images//odd key.jpg"])
        assert origin.requests[0].startswith(b"POST /classify?top=2 ")
    assert (row.get("status"), row.get("error", {}).get("code")) == (status, code)
    if code is None:
        assert row["predictions"] == [{"label": "hat", "score": 0.9}]
        assert row["model"] == {"version": "v1", "engine": "litert"}


def test_an_api_that_wants_a_key_ends_the_run(bucket: Bucket) -> None:
    from classifier.service import ImageStore

    bucket.put("images/a.jpg", b"picture")
    pictures = ImageStore(bucket.s3, bucket.name, "", 1000)
    forbidden = reply(b'{"message": "Forbidden"}', status="403 Forbidden")
    with Origin({"/classify": forbidden}) as origin, pytest.raises(PlaceError, match="--header"):
        Api(pictures, origin.url("/"), {}, None, 1).rows(["images/a.jpg"])
