"""The demo's own compiled form: its head is opened when it is first asked for, kept, and never a reason to fail."""

from __future__ import annotations

import gc
import hashlib
import math
import time
from array import array
from typing import TYPE_CHECKING

import numpy as np
import pytest

from classifier.bundles.compiled import HEAD, MODEL, REPORT, parse_report
from classifier.engines.litert_engine import LiteRtEngine
from classifier.errors import ModelError, StorageUnavailableError
from classifier.explaining import activation
from classifier.explaining.activation import Places, answer
from local.options import DEMO

if TYPE_CHECKING:
    from collections.abc import Callable

PLACE = next((DEMO / "compiled").iterdir())
SHAPE = (1, 96, 96, 3)


@pytest.fixture
def engine() -> LiteRtEngine:
    return LiteRtEngine((PLACE / MODEL).read_bytes(), 1)


def picture() -> bytes:
    return np.random.default_rng(0).uniform(-1, 1, SHAPE).astype(np.float32).tobytes()


def later() -> float:
    return time.monotonic() + 10


def places(engine: object, read: Callable[[float], bytes] | None) -> Places | None:
    found = answer(engine, read, picture(), later())
    return found and found[1]


def test_the_demos_head_is_what_its_report_says() -> None:
    report = parse_report((PLACE / REPORT).read_bytes())
    assert hashlib.sha256((PLACE / HEAD).read_bytes()).hexdigest() == report.head_sha256
    assert (PLACE / HEAD).stat().st_size < 30_000


def test_the_head_is_read_once_and_gives_what_makes_the_scores(engine: LiteRtEngine) -> None:
    asked: list[float] = []

    def read(deadline: float) -> bytes:
        asked.append(deadline)
        return (PLACE / HEAD).read_bytes()

    first, second = (places(engine, read) for _ in range(2))
    assert first is not None
    assert first == second
    assert (first.rows, first.columns, first.units) == (6, 6, 10)
    assert len(asked) == 1
    scores = np.asarray(engine.predict(picture()))
    logits = [np.array(first.of(unit)).mean() for unit in range(10)]
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(), scores, atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [StorageUnavailableError("S3 is down"), ModelError("not there"), b"no FlatBuffer", b""]
)
def test_a_head_that_cannot_be_had_is_asked_for_again_a_minute_later(
    wrong: Exception | bytes, engine: LiteRtEngine
) -> None:
    answers = [wrong, (PLACE / HEAD).read_bytes()]

    def read(_: float) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert places(engine, read) is None
    assert places(engine, read) is None
    assert len(answers) == 1
    activation._FORMS[engine].retry_at = 0.0
    assert places(engine, read) is not None


def test_the_opened_form_goes_with_its_model() -> None:
    before = len(activation._FORMS)
    replaced = LiteRtEngine((PLACE / MODEL).read_bytes(), 1)
    assert places(replaced, lambda _: (PLACE / HEAD).read_bytes())
    assert len(activation._FORMS) == before + 1
    del replaced
    gc.collect()
    assert len(activation._FORMS) <= before


def test_a_function_too_small_for_a_second_model_does_without(
    engine: LiteRtEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "48")
    assert places(engine, lambda _: (PLACE / HEAD).read_bytes()) is None


def test_an_engine_of_another_kind_and_a_model_without_head_have_no_map(engine: LiteRtEngine) -> None:
    assert places(engine, None) is None
    assert places(object(), lambda _: b"") is None


def test_one_run_answers_to_the_bit_as_without_being_asked_why(engine: LiteRtEngine) -> None:
    found = answer(engine, lambda _: (PLACE / HEAD).read_bytes(), picture(), later())
    assert found is not None
    assert found[0] == engine.predict(picture())


def test_a_place_that_is_no_number_gives_no_map() -> None:
    assert Places(array("f", [1, math.nan, 2, 3]), 1, 2, 2).of(0) == [[1.0, 2.0]]
    assert Places(array("f", [1, math.nan, 2, 3]), 1, 2, 2).of(1) is None
