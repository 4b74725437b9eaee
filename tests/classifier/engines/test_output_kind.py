"""What numbers are, by what they do on probes, the last function and the loss: each row of the decision."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.bundles.scores import Head, Output
from classifier.bundles.serving import ModelShape, OutputShape
from classifier.engines.output_kind import contradiction, contradictions, find, judged

PROBABILITIES = [[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]]
INDEPENDENT = [[0.9, 0.8, 0.1], [0.2, 0.2, 0.2]]
ANY = [[1.5, -2.0, 0.3], [0.1, 0.2, 9.0]]
LOGARITHMS = np.log(PROBABILITIES).tolist()
ONE_INSIDE, ONE_OUTSIDE = [[0.2], [0.9]], [[-3.0], [34.5]]


@pytest.mark.parametrize(
    ("rows", "activation", "loss", "expected"),
    [
        (PROBABILITIES, "softmax", None, "softmax"),
        (PROBABILITIES, None, None, "softmax"),  # an average of softmaxes, a cast, a clip
        (PROBABILITIES, None, "regression", "softmax"),  # trained with mean squared error all the same
        (PROBABILITIES, "sigmoid", None, "sigmoid"),  # by chance: nothing of what is served differs
        (PROBABILITIES, "linear", None, None),
        (PROBABILITIES, "linear", "logits", "logits"),
        (INDEPENDENT, "sigmoid", None, "sigmoid"),
        (INDEPENDENT, "keras2_hard_sigmoid", None, "sigmoid"),
        (INDEPENDENT, None, None, "sigmoid"),  # heads that were concatenated
        (INDEPENDENT, "softmax", None, None),  # over another axis
        (INDEPENDENT, "relu", None, None),
        (INDEPENDENT, "linear", "sigmoid_logits", "sigmoid_logits"),
        (INDEPENDENT, "linear", "regression", "regression"),
        (ANY, "linear", None, "logits"),
        (ANY, None, None, "logits"),
        (ANY, "linear", "logits", "logits"),
        (ANY, "linear", "sigmoid_logits", "sigmoid_logits"),
        (ANY, "linear", "regression", "regression"),
        (ANY, "linear", "softmax", None),  # a loss that takes probabilities, which these are not
        (ANY, "linear", "margins", None),
        (ANY, "tanh", None, None),
        (ANY, "relu", None, None),
        (ANY, "softmax", None, None),
        (LOGARITHMS, "log_softmax", None, "logits"),
        (LOGARITHMS, None, None, "logits"),
        (ONE_INSIDE, "sigmoid", None, "sigmoid"),
        (ONE_INSIDE, None, None, "sigmoid"),
        (ONE_INSIDE, "linear", None, None),
        (ONE_INSIDE, "linear", "regression", "regression"),
        (ONE_OUTSIDE, "linear", None, None),
        (ONE_OUTSIDE, "linear", "regression", "regression"),
        (ONE_OUTSIDE, "linear", "sigmoid_logits", "logits"),  # one number for two labels
        (ONE_OUTSIDE, "linear", "logits", None),
        ([[1.0], [1.0]], "softmax", None, None),  # always 1
    ],
)
def test_what_numbers_are(
    rows: list[list[float]], activation: str | None, loss: str | None, expected: Output | None
) -> None:
    found = find(np.array(rows, np.float32), activation, loss)
    assert found.output == expected
    assert f"{len(rows)} probes" in found.known


@pytest.mark.parametrize(
    ("rows", "stated", "says"),
    [
        (PROBABILITIES, "softmax", ""),
        (INDEPENDENT, "softmax", "sums from 0.6 to 1.8"),
        (ANY, "softmax", "no probabilities"),
        (ANY, "sigmoid", "no probabilities"),
        (INDEPENDENT, "sigmoid", ""),
        (PROBABILITIES, "logits", "probabilities already"),
        (PROBABILITIES, "sigmoid_logits", "probabilities already"),
        (ANY, "logits", ""),
        (ONE_OUTSIDE, "regression", ""),
        ([[float("nan")] * 3], "softmax", ""),
    ],
)
def test_what_speaks_against_what_was_stated(rows: list[list[float]], stated: Output, says: str) -> None:
    against = contradiction(np.array(rows, np.float32), stated)
    assert says in against
    assert bool(against) == bool(says)


def test_outputs_are_judged_one_by_one_without_the_probes_that_give_no_numbers() -> None:
    outputs = (OutputShape("kind", 3, None), OutputShape("age", 1, "linear", "regression"))
    shape = ModelShape(8, 8, 3, 4, None, None, outputs)
    rows = np.array([[*PROBABILITIES[0], 30.0], [*PROBABILITIES[1], float("nan")], [float("nan")] * 4], np.float32)

    kind, age = judged(shape, rows, {}).outputs

    assert (kind.output, age.output) == ("softmax", "regression")
    assert kind.known.startswith("2 probes")
    heads = [Head("kind", ("a", "b", "c"), "logits", 3, 3, ""), Head("age", ("age",), "sigmoid", 1, 1, "")]
    found = contradictions(heads, rows)
    assert [text.split(":")[0] for text in found] == ["output 'kind'", "output 'age'"]


def test_a_model_without_any_finite_answer_is_not_known() -> None:
    (output,) = judged(ModelShape(8, 8, 3, 2, "linear"), np.full((8, 2), np.nan, np.float32), {}).outputs
    assert (output.output, output.known) == (None, "8 probes give no finite numbers")
