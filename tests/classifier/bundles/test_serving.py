"""From a model's numbers to predictions."""

from __future__ import annotations

import json
import math
from array import array
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from classifier.bundles.serving import ModelShape, Serving, parse_serving, uses_labels_file
from classifier.errors import ModelError

SHAPE = ModelShape(8, 8, 3, 3, "softmax")
NAMES = ["cat", "dog", "eel"]


def parse(shape: ModelShape = SHAPE, labels: bytes | None = None, **document: Any) -> Serving:
    """Serving of a serving.json with these fields."""
    return parse_serving(json.dumps(document).encode(), labels, shape)


def shape(units: int, activation: str | None) -> ModelShape:
    """A model of so many units."""
    return ModelShape(8, 8, 3, units, activation)


@pytest.mark.parametrize(
    ("serving", "raw", "expected"),
    [
        (parse(labels=b"cat\ndog\neel\n"), [0.2, 0.5, 0.3], [("dog", 0.5), ("eel", 0.3), ("cat", 0.2)]),
        (parse(top_k=1, labels=b"a\nb\nc"), [0.2, 0.5, 0.3], [("b", 0.5)]),
        (parse(shape(1, "sigmoid"), b"cat\ndog"), [0.75], [("dog", 0.75), ("cat", 0.25)]),
        (parse(shape(1, "sigmoid"), b"cat\ndog"), [0.25], [("cat", 0.75), ("dog", 0.25)]),
        (parse(shape(3, "sigmoid"), b"a\nb\nc"), [0.9, 0.1, 0.95], [("c", 0.95), ("a", 0.9), ("b", 0.1)]),
        (parse(shape(2, "linear"), b"a\nb", output="logits"), [0.0, math.log(3)], [("b", 0.75), ("a", 0.25)]),
        (parse(shape(2, None), b"a\nb", output="sigmoid_logits"), [0.0, math.log(3)], [("b", 0.75), ("a", 0.5)]),
        (parse(shape(1, None), b"a\nb", output="sigmoid_logits"), [math.log(3)], [("b", 0.75), ("a", 0.25)]),
        (parse(shape(2, None), b"a\nb", output="sigmoid_logits"), [-1000.0, 1000.0], [("b", 1.0), ("a", 0.0)]),
        (parse(shape(1, None), b"years", output="regression"), [34.25], [("years", 34.25)]),
        (parse(shape(1, None), output="regression"), [-3.0], [("value", -3.0)]),
        (parse(shape(2, None), b"x\ny", output="regression"), [1.0, 2.0], [("x", 1.0), ("y", 2.0)]),
        (parse(shape(2, None), b"a\nb", output="logits"), [1000.0, 0.0], [("a", 1.0), ("b", 0.0)]),
        (parse(shape(1, None), b"cat\ndog", output="logits"), [0.0], [("cat", 0.5), ("dog", 0.5)]),
        (parse(shape(2, "softmax"), b"a\nb"), [0.5, 0.5], [("a", 0.5), ("b", 0.5)]),
    ],
)
def test_scores_become_predictions_best_first(
    serving: Serving, raw: list[float], expected: list[tuple[str, float]]
) -> None:
    found = serving.predictions(array("f", raw))
    assert [item["label"] for item in found] == [label for label, _ in expected]
    assert [item["score"] for item in found] == pytest.approx([score for _, score in expected], abs=1e-6)


@pytest.mark.parametrize(("top", "count"), [(None, 5), (1, 1), (7, 7), (8, 8), (10_000, 8)])
def test_top_counts_at_most_all_labels(top: int | None, count: int) -> None:
    serving = parse(shape(8, "softmax"), "\n".join("abcdefgh").encode())
    assert len(serving.predictions(array("f", range(8)), top)) == count


@pytest.mark.parametrize("raw", [[math.nan, 0, 0], [math.inf, 0, 0]])
def test_scores_that_are_no_numbers_are_the_models_fault(raw: list[float]) -> None:
    with pytest.raises(ModelError, match="finite"):
        parse(labels=b"a\nb\nc").predictions(array("f", raw))


@pytest.mark.parametrize(
    ("labels", "model", "says"),
    [
        (b"", SHAPE, "0 labels for 3 scores"),
        (b"a\nb\n", SHAPE, "2 labels for 3 scores"),
        (b"a\nb\nc\nd", SHAPE, "4 labels for 3 scores"),
        (b"a", shape(1, "sigmoid"), "1 labels for 2 scores"),
        (b"a\nb\nc", shape(1, "sigmoid"), "3 labels for 2 scores"),
        (b"a\nb", shape(1, "softmax"), "2 labels for 1 scores"),
        (b"\xff", SHAPE, "not UTF-8"),
        (b"x\n" * 100_001, SHAPE, "100001 lines"),
    ],
)
def test_labels_that_do_not_fit_are_an_error_with_both_counts(labels: bytes, model: ModelShape, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        parse_serving(None, labels, model)


@pytest.mark.parametrize(
    "labels", [b"cat\ndog\neel", b"\xef\xbb\xbfcat\r\ndog\r\neel\r\n", b" cat \ndog\t\neel\n\n  \n"]
)
def test_label_files_of_every_editor_give_the_same_labels(labels: bytes) -> None:
    assert parse_serving(None, labels, SHAPE).labels == ("cat", "dog", "eel")


@pytest.mark.parametrize(
    ("model", "labels"),
    [(SHAPE, ("0", "1", "2")), (shape(1, "sigmoid"), ("0", "1")), (shape(2, "sigmoid"), ("0", "1"))],
)
def test_without_labels_scores_are_numbered(model: ModelShape, labels: tuple[str, ...]) -> None:
    assert parse_serving(None, None, model).labels == labels


def test_labels_in_serving_json_win_over_the_file() -> None:
    serving = parse_serving(json.dumps({"labels": NAMES}).encode(), b"x\ny\nz", SHAPE)
    assert serving.labels == tuple(NAMES)
    assert not uses_labels_file(b'{"labels": ["a"]}')
    assert uses_labels_file(b'{"labels": []}')
    assert uses_labels_file(None)


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"{", "can't be read"),
        (b"\xff\xfe\xfa", "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"top_k": 1e999}', "no finite number"),
        (b'{"top_k": 1, "top_k": 2}', "'top_k' twice"),
        (b"[]", "expected an object"),
        (b'{"label": []}', "unknown label"),
        (b'{"labels": "abc"}', "list of strings"),
        (b'{"labels": [1, 2, 3]}', "list of strings"),
        (b'{"output": "probabilities"}', "expected one of softmax, sigmoid, logits, sigmoid_logits, regression"),
        (b'{"output": ["softmax"]}', "expected one of softmax, sigmoid, logits, sigmoid_logits, regression"),
        (b'{"top_k": 0}', "top_k is 0"),
        (b'{"top_k": 2.0}', "top_k is 2.0"),
        (b'{"top_k": true}', "top_k is True"),
        (b'{"preprocessing": []}', "preprocessing"),
        (b'{"preprocessing": {"size": [0, 8]}}', "size"),
        (b'{"preprocessing": {"color": "cmyk"}}', "color"),
    ],
)
def test_a_serving_json_that_is_wrong_is_named(document: bytes, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        parse_serving(document, b"cat\ndog\neel", SHAPE)


@hypothesis.settings(max_examples=150, deadline=None, database=None)
@hypothesis.given(
    st.dictionaries(
        st.sampled_from(["labels", "output", "top_k", "preprocessing"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.sampled_from(["softmax", "unit", "rgb", "\ud800"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["size", "scale", "mean", "std", "color", "resize"]), inner, max_size=3
                )
            ),
            max_leaves=6,
        ),
    )
)
def test_any_serving_json_is_read_or_refused(document: dict[str, Any]) -> None:
    try:
        serving = parse_serving(json.dumps(document).encode(), b"cat\ndog\neel", SHAPE)
    except ModelError:
        return
    assert len(serving.labels) == SHAPE.units
