"""What is kept of which requests, over real HTTP, and that no trouble of keeping reaches a caller."""

from __future__ import annotations

import io
import json
import re
import threading
from copy import replace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from classifier.bundles.serving import ModelShape, parse_serving
from classifier.captures import capture
from classifier.captures.capture import RECORD_BYTES, Captures, written
from classifier.settings import Settings, SettingsError
from tests.support.application import MODEL, lines, picture
from tests.support.capturing import Service
from tests.support.capturing import serve as serve
from tests.support.troubled_s3 import TroubledS3

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Bucket

type Serve = Callable[..., Service]
NO_S3: Any = None  # nothing asks it


def puts(bucket: Bucket) -> int:
    return sum(request.method == "PUT" for request in bucket.server.requests)


def of_camera(image_format: str) -> bytes:
    """A picture that says where and by what it was taken, and that it lies on its side."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "SECRETCAM"
    exif.get_ifd(0x8825)[1] = "SECRETPLACE"
    file = io.BytesIO()
    Image.new("RGB", (20, 10), (255, 0, 0)).save(file, image_format, exif=exif)
    return file.getvalue()


def test_a_kept_request_is_one_object_that_is_the_picture_with_its_answer_beside(serve: Serve) -> None:
    service = serve()
    reply = service.classify()
    assert reply["kept"] is True
    assert puts(service.bucket) == 1
    assert service.keys() == [f"captures/{reply['request_id']}"]
    data, record, got = service.kept(reply["request_id"])
    assert Image.open(io.BytesIO(data)).size == (20, 10)
    assert got["ContentType"] == "image/png"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("time"))
    assert record == {
        "request_id": reply["request_id"],
        "model": reply["model"],
        "why": "drawn",
        "image": reply["image"],
        "predictions": reply["predictions"],
    }


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
def test_nothing_is_kept_of_where_a_picture_came_from_or_was_taken(serve: Serve, image_format: str) -> None:
    given = of_camera(image_format)
    assert b"SECRETPLACE" in given
    service = serve(fetch=lambda _link, _deadline: given)
    service.bucket.put("images/SECRETKEY.jpg", given)
    replies = [
        service.get("/classify?imagelink=http://u.example/SECRETPATH?token=SECRETTOKEN").json(),
        service.get("/classify?s3key=images/SECRETKEY.jpg").json(),
        service.post("/classify", given, authorization="SECRETHEADER", x_forwarded_for="203.0.113.7").json(),
    ]
    assert [reply["image"]["source"] for reply in replies] == ["imagelink", "s3key", "upload"]
    for reply in replies:
        data, record, got = service.kept(reply["request_id"])
        stored = data + repr((got["ResponseMetadata"]["HTTPHeaders"], got["Metadata"])).encode()
        assert not re.findall(rb"SECRET\w+|203\.0\.113\.7|127\.0\.0\.1", stored)
        assert record["image"]["orientation"] == 6
        assert Image.open(io.BytesIO(data)).convert("RGB").getpixel((3, 3)) == pytest.approx((255, 0, 0), abs=3)


def test_a_request_that_is_not_drawn_costs_nothing(serve: Serve) -> None:
    service = serve("0.01", draws=(0.5, 0.009, 0.01))
    replies = [service.classify() for _ in range(3)]
    ids = [reply["request_id"] for reply in replies]
    assert [reply.get("kept") for reply in replies] == [None, True, None]
    assert service.keys() == [f"captures/{ids[1]}"]
    assert len(service.bucket.server.requests) == 2  # the PUT, and our own look


@pytest.mark.parametrize(
    ("asked", "draws", "kept"),
    [("unsure", (0.0, 0.0), ["unsure"]), ("0.5,unsure", (0.6, 0.1), ["unsure", "drawn"]), ("0.5", (0.6, 0.6), [])],
)
def test_what_the_model_is_not_sure_of_is_kept_whatever_is_drawn(
    serve: Serve, asked: str, draws: tuple[float, ...], kept: list[str]
) -> None:
    serving = b'{"labels": ["red", "blue"], "threshold": 0.9}'
    careful = replace(MODEL, serving=parse_serving(serving, None, ModelShape(8, 8, 3, 2, "softmax")))
    service = serve(asked, draws=draws, served=careful)
    replies = [service.classify(picture(color=color)) for color in ((130, 0, 125), (255, 0, 0))]
    assert [reply["sure"] for reply in replies] == [False, True]
    ids = [reply["request_id"] for reply in replies]
    there = service.keys()
    records = [service.kept(one)[1] for one in ids if f"captures/{one}" in there]
    assert [record["why"] for record in records] == kept
    assert [record["sure"] for record in records] == [False, True][: len(kept)]


def test_each_picture_of_several_is_drawn_by_itself_and_named_by_its_place(serve: Serve) -> None:
    service = serve("0.5", draws=(0.9, 0.1, 0.2))
    reply = service.batch(picture(), b"no picture", picture(color=(0, 0, 255)), picture("JPEG"))
    request_id = reply["request_id"]
    assert sorted(service.keys()) == [f"captures/{request_id}-2", f"captures/{request_id}-3"]
    assert [result.get("kept") for result in reply["results"]] == [None, None, True, True]
    _, record, _ = service.kept(f"{request_id}-2")
    assert record["predictions"] == reply["results"][2]["predictions"]
    assert (record["model"], record["request_id"]) == (reply["model"], f"{request_id}-2")


def test_so_much_of_one_request_waits_in_memory_and_no_more(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MOST_BYTES", 2 * len(picture()))
    service = serve()
    service.batch(*[picture()] * 3)
    assert len(service.keys()) == 2


def told(reply: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in reply.items() if name not in ("request_id", "timings_ms", "cold_start")}


@pytest.mark.parametrize("fault", ["403", "500", "reset"])
def test_trouble_with_keeping_is_logged_counted_and_not_the_callers(
    serve: Serve, bucket: Bucket, fault: str, capsys: Any
) -> None:
    plain = serve("off").classify()
    with TroubledS3(bucket.endpoint_url) as troubled:
        troubled.fault = lambda _number, method: fault if method == "PUT" else None
        service = serve(endpoint=troubled.url)
        assert told(service.classify()) == told(plain)
        assert told(service.batch(picture())["results"][0]) == {
            name: value for name, value in told(plain).items() if name != "model"
        }
        asked = troubled.count
        assert told(service.classify()) == told(plain)
        assert troubled.count == asked, "nothing is tried for a while"
    logged = lines(capsys)
    assert [line["message"] for line in logged if line["level"] == "warning"] == ["a picture could not be kept"]
    counted = [(line.get("captured"), line.get("captures_failed")) for line in logged if line["message"] == "request"]
    assert counted[1:] == [(None, 1)] * 3


def test_s3_that_does_not_answer_is_waited_for_no_longer_than_allowed(
    serve: Serve, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(capture, "PUT_S", 0.2)
    hold = threading.Event()
    with TroubledS3(bucket.endpoint_url) as troubled:
        troubled.fault = lambda _number, _method: None if hold.wait(30) else "503"
        assert serve(endpoint=troubled.url).classify()["predictions"]  # while S3 still waits
        assert not hold.is_set()
        hold.set()
    assert [line["captures_failed"] for line in lines(capsys) if line["message"] == "request"] == [1]


def test_off_is_as_if_it_did_not_exist(serve: Serve) -> None:
    on, off = serve("1"), serve("off")
    assert off.classify().keys() == on.classify().keys() - {"kept"}
    assert "feedback" not in off.get("/model").json()
    assert on.get("/model").json()["feedback"] is True
    answer = off.feedback(request_id="a", label="red")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "record",
    [
        {"predictions": [{"label": "Ünïcode ✓ 日本語  two   three    spaces", "score": 1.0}]},
        {"predictions": [{"label": f"label {number}" * 20, "score": 0.1} for number in range(40)]},
        {"predictions": [{"label": "x", "score": 1.0}], "outputs": {"y": [{"label": "z" * 3000, "score": 1.0}]}},
    ],
)
def test_a_record_fits_into_a_header_and_keeps_the_best_label(record: dict[str, Any]) -> None:
    text = written(record)
    assert text.isascii()
    assert "  " not in text
    assert len(text) <= RECORD_BYTES
    predictions = json.loads(text)["predictions"]
    assert predictions == record["predictions"][: len(predictions)]
    assert predictions


def test_a_label_that_fits_into_no_header_is_not_kept() -> None:
    with pytest.raises(ValueError, match="too long"):
        written({"predictions": [{"label": "x" * 5000}]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[("off", None), ("", None), ("0.01", (0.01, False)), ("1", (1.0, False)), ("unsure", (0, True))],
        *[("0.01,unsure", (0.01, True)), ("unsure, 0.5", (0.5, True))],
    ],
)
def test_the_setting_is_a_share_unsure_or_both(text: str, expected: object) -> None:
    assert Settings.from_env({"MODEL_BUCKET": "b", "CAPTURE": text}).capture == expected


@pytest.mark.parametrize("text", ["0", "1.01", "-1", "nan", "1%", "yes", "off,unsure", "unsure,unsure", "0.1,0.2"])
def test_any_other_value_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"CAPTURE={text!r}: expected off, a share")):
        Settings.from_env({"MODEL_BUCKET": "b", "CAPTURE": text})


@pytest.mark.parametrize("prefix", ["", "captures", "captures/mine/"])
def test_what_is_kept_is_out_of_reach_of_s3key(prefix: str) -> None:
    environ = {"MODEL_BUCKET": "b", "IMAGE_BUCKET": "p", "IMAGE_PREFIX": prefix, "CAPTURE": "1"}
    with pytest.raises(SettingsError, match="IMAGE_PREFIX"):
        Captures.from_settings(NO_S3, Settings.from_env(environ))
    shown = {**environ, "IMAGE_PREFIX": "images/", "EXAMPLES_PREFIX": prefix or "captures/"}
    with pytest.raises(SettingsError, match="EXAMPLES_PREFIX"):
        Captures.from_settings(NO_S3, Settings.from_env(shown))
    with pytest.raises(SettingsError, match="IMAGE_BUCKET"):
        Captures.from_settings(NO_S3, Settings.from_env({"MODEL_BUCKET": "b", "CAPTURE": "1"}))


def test_a_key_of_a_capture_is_refused_as_any_outside_the_prefix(serve: Serve) -> None:
    service = serve()
    request_id = service.classify()["request_id"]
    answer = service.get(f"/classify?s3key=captures/{request_id}")
    assert (answer.status, answer.json()["error"]["code"]) == (400, "invalid_s3_key")
