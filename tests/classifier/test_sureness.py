"""A model with a threshold says of each answer whether it is sure, by every way in; one without says nothing of it."""

from __future__ import annotations

import base64
import json
from copy import replace
from typing import TYPE_CHECKING, Any

import pytest

from classifier import logs
from classifier.bulk.rows import row_of
from tests.support.application import MODEL, Running, http, lines, picture, upload
from tests.support.application import start as start
from tests.support.emf import extracted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RED, PURPLE = picture(), picture(color=(130, 0, 120))
NAMESPACE = "keras-classifier/test"


@pytest.fixture
def running(start: Callable[..., Running]) -> Iterator[Running]:
    found = start(METRIC_NAMESPACE=NAMESPACE)
    head = replace(MODEL.serving.heads[0], temperature=0.9, threshold=0.75)
    found.models.served = replace(MODEL, serving=replace(MODEL.serving, heads=(head,)))
    logs.configure("info", NAMESPACE)
    yield found
    logs.configure("info")


def images(*pictures: bytes) -> dict[str, Any]:
    body = json.dumps({"images": [{"image": base64.b64encode(data).decode()} for data in pictures]})
    return http("POST", headers={"content-type": "application/json"}, body=body)


@pytest.mark.parametrize(("data", "sure"), [(RED, True), (PURPLE, False)])
def test_http_and_direct_replies_say_whether_the_answer_is_sure(running: Running, data: bytes, sure: bool) -> None:
    told = running.body(upload(data))
    assert list(told)[:2] == ["predictions", "sure"]
    assert told["sure"] is sure
    assert running.ask({"image": base64.b64encode(data).decode()})["sure"] is sure


def test_text_says_so_before_the_first_label(running: Running) -> None:
    doubt = running.ask(upload(PURPLE, accept="text/plain"))["body"].splitlines()
    assert doubt[0].startswith("not sure: red (score = 0.5")
    assert doubt[1].startswith("blue (score = 0.4")
    assert running.ask(upload(RED, accept="text/plain"))["body"].splitlines()[0] == "red (score = 1.00000)"


def test_a_batch_says_it_of_each_picture_and_its_rows_keep_it(running: Running) -> None:
    told = running.body(images(RED, b"no picture", PURPLE))
    assert [result.get("sure") for result in told["results"]] == [True, None, False]
    rows = [row_of({"key": "k"}, result, told["model"]) for result in told["results"]]
    assert [row.get("sure") for row in rows] == [True, None, False]
    assert list(rows[0]) == ["key", "predictions", "sure", "image", "model"]


def test_answers_that_are_not_sure_are_counted(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    for event in (upload(RED), upload(PURPLE), images(RED, PURPLE, b"no picture", PURPLE), http(path="/health")):
        running.ask(event)
    counted = [extracted(line, NAMESPACE) for line in lines(capsys)]
    assert [found.get("unsure") for found in counted] == [0, 1, 2, None]


def test_the_model_is_described_with_both(running: Running) -> None:
    told = running.body(http(path="/model"))
    assert (told["temperature"], told["threshold"]) == (0.9, 0.75)


def test_without_a_threshold_nothing_speaks_of_it(
    start: Callable[..., Running], capsys: pytest.CaptureFixture[str]
) -> None:
    running = start()
    replies = [running.ask(event) for event in (upload(PURPLE), images(PURPLE), http(path="/model"))]
    assert "sure" not in json.dumps(replies) + json.dumps(lines(capsys))
    assert running.ask(upload(PURPLE, accept="text/plain"))["body"].startswith("red (score")
