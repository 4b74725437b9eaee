"""Scores at a temperature, the threshold from which on an answer is sure, and what serving.json may say of both."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from classifier.bundles.scores import Head, Output
from classifier.bundles.serving import ModelShape, OutputShape, Serving, parse_serving
from classifier.errors import ModelError

NAMES = ("cat", "dog", "eel")


def head(output: Output, units: int, temperature: float | None = None) -> Head:
    labels = NAMES[: max(2, units)]
    return Head("", labels, output, 5, units, "", temperature)


def serving(units: int = 3, **fields: Any) -> Serving:
    document = {"output": "softmax", "labels": NAMES[: max(2, units)], **fields}
    return parse_serving(json.dumps(document).encode(), None, ModelShape(8, 8, 3, units, None))


def by_the_formula(output: str, raw: list[float], temperature: float) -> np.ndarray:
    """Guo et al. (2017), equation 9: softmax, or sigmoid, of logits divided by the temperature."""
    numbers = np.array(raw)
    with np.errstate(all="ignore"):
        logits = {"softmax": np.log(numbers), "sigmoid": np.log(numbers) - np.log1p(-numbers)}.get(output, numbers)
    logits = logits / temperature
    if output in ("softmax", "logits") and len(raw) > 1:
        powers = np.exp(logits - logits.max())
        return np.asarray(powers / powers.sum())
    shares = 1 / (1 + np.exp(-logits))
    return np.array([1 - shares[0], shares[0]]) if len(raw) == 1 else shares


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
@pytest.mark.parametrize(
    ("output", "raw"),
    [
        ("softmax", [0.1, 0.7, 0.2]),
        ("softmax", [0.0, 1.0, 0.0]),
        ("softmax", [1e-30, 0.6, 0.4]),
        ("sigmoid", [0.9, 0.1, 0.95]),
        ("sigmoid", [0.0, 1.0, 0.5]),
        ("sigmoid", [0.8]),
        ("logits", [-3.0, 4.0, 3.5]),
        ("logits", [-2.0]),
        ("sigmoid_logits", [-3.0, 4.0, 0.0]),
    ],
)
def test_scores_at_a_temperature_are_those_of_the_formula(output: Output, raw: list[float], temperature: float) -> None:
    found = head(output, len(raw), temperature).scores(raw)
    assert list(found) == pytest.approx(by_the_formula(output, raw, temperature).tolist(), abs=1e-12)


@hypothesis.given(
    st.sampled_from(["softmax", "sigmoid", "logits", "sigmoid_logits"]),
    st.lists(st.floats(-60, 60, width=32), min_size=3, max_size=3),
    st.floats(0.01, 100),
)
@hypothesis.settings(max_examples=300)
def test_no_label_changes_its_place_by_a_temperature(output: Output, logits: list[float], temperature: float) -> None:
    raw: list[float] = logits
    if output == "softmax":
        powers = np.exp(np.array(logits) - max(logits))
        raw = (powers / powers.sum()).astype(np.float32).tolist()
    elif output == "sigmoid":
        raw = (1 / (1 + np.exp(-np.array(logits)))).astype(np.float32).tolist()
    cooled = head(output, 3, temperature).predictions(raw)
    shares = head(output, 3).scores(raw)
    assert [item["score"] for item in cooled] == sorted((item["score"] for item in cooled), reverse=True)
    placed = [shares[NAMES.index(item["label"])] for item in cooled]
    assert placed == sorted(placed, reverse=True)


def test_scores_that_a_temperature_makes_equal_keep_their_order() -> None:
    raw = [0.49999, 0.50001, 0.0]
    warmed = head("softmax", 3, 100.0).predictions([0.4999999, 0.5000001, 0.0])
    assert [item["label"] for item in warmed] == ["dog", "cat", "eel"]
    assert warmed[0]["score"] == warmed[1]["score"]
    assert [item["label"] for item in head("softmax", 3, 0.01).predictions(raw)] == ["dog", "cat", "eel"]


@pytest.mark.parametrize("output", ["softmax", "sigmoid", "logits"])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_temperature_hides_no_number_that_is_not_finite(output: Output, wrong: float) -> None:
    with pytest.raises(ModelError, match="finite"):
        head(output, 3, 2.0).predictions([0.5, wrong, 0.1])


@pytest.mark.parametrize(
    ("fields", "raw", "sure"),
    [
        ({"threshold": 0.7}, [0.2, 0.7, 0.1], True),  # the score that is told reaches it
        ({"threshold": 0.7}, [0.2, 0.6999999, 0.1], False),
        ({"threshold": 0.7, "temperature": 0.5}, [0.2, 0.6, 0.2], True),
        ({"threshold": 0.7, "temperature": 2}, [0.1, 0.8, 0.1], False),
        ({"threshold": 0}, [0.3, 0.4, 0.3], True),
        ({"threshold": 1}, [0.0, 1.0, 0.0], True),
    ],
)
def test_an_answer_is_sure_from_the_threshold_on(fields: dict[str, Any], raw: list[float], sure: bool) -> None:
    reply = serving(**fields).answer(raw, 1)
    assert list(reply) == ["predictions", "sure"]
    assert reply["sure"] is sure


def test_without_the_fields_nothing_is_said_of_either() -> None:
    plain = serving()
    assert list(plain.answer([0.2, 0.7, 0.1])) == ["predictions"]
    assert list(plain.described()) == ["labels", "output", "output_known", "top_k"]
    assert list(serving(temperature=0.8).answer([0.2, 0.7, 0.1])) == ["predictions"]


def test_the_model_is_described_with_both() -> None:
    told = serving(temperature=0.8, threshold=0.75).described()
    assert (told["temperature"], told["threshold"]) == (0.8, 0.75)


@pytest.mark.parametrize(("colour", "sure"), [([0.9, 0.1], True), ([0.6, 0.4], False)])
def test_an_answer_of_several_outputs_is_sure_if_each_is_that_has_a_threshold(colour: list[float], sure: bool) -> None:
    outputs = tuple(OutputShape(name, units, "softmax") for name, units in (("kind", 3), ("colour", 2), ("size", 2)))
    fields = {"kind": {"threshold": 0.5}, "colour": {"threshold": 0.8, "temperature": 1.1}, "size": {}}
    several = parse_serving(
        json.dumps({"outputs": fields}).encode(), None, ModelShape(8, 8, 3, 7, None, outputs=outputs)
    )
    reply = several.answer([0.6, 0.2, 0.2, *colour, 0.5, 0.5])
    assert list(reply) == ["predictions", "sure", "outputs"]
    assert reply["sure"] is sure
    assert several.described()["outputs"]["colour"]["temperature"] == 1.1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"temperature": 0}, "temperature is '0', expected a number from 0.01 to 100"),
        ({"temperature": -1}, "temperature is '-1'"),
        ({"temperature": 101}, "temperature is '101'"),
        ({"temperature": "0.8"}, "temperature is '0.8', expected a number"),
        ({"temperature": True}, "temperature is 'True'"),
        ({"temperature": None}, "temperature is 'None'"),
        ({"threshold": 1.01}, "threshold is '1.01', expected a number from 0 to 1"),
        ({"threshold": -0.1}, "threshold is '-0.1'"),
        ({"threshold": [0.5]}, r"threshold is '\[0.5\]'"),
        ({"output": "regression", "threshold": 0.5}, "threshold of a regression"),
        ({"output": "regression", "temperature": 2, "threshold": 0.5}, "temperature and threshold of a regression"),
    ],
)
def test_a_temperature_or_threshold_that_can_not_be_is_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        serving(**fields)
