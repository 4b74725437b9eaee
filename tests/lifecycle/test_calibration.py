"""Temperature, threshold and what they are worth, held against brute force and the formulas of the papers."""

from __future__ import annotations

from copy import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest

from classifier.bundles.scores import Head, Output
from lifecycle.calibration import Wish, auroc, calibrate, fit_temperature, fit_threshold, scores
from lifecycle.chart import draw
from lifecycle.errors import ModelsError
from lifecycle.scoring import judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type Floats = NDArray[np.float64]

NOTHING_FOREIGN = np.zeros(0)
WISH = Wish(right=0.95, foreign=0.1)


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def world(pictures: int, temperature: float, seed: int = 0, spread: float = 2.2) -> tuple[Floats, list[int]]:
    """Logits of a model whose scores are right once they are divided by `temperature`, and the true classes."""
    random = np.random.default_rng(seed)
    honest = random.normal(0, spread, (pictures, 4))
    true = [int(random.choice(4, p=row)) for row in softmax(honest)]
    return honest * temperature, true


def likelihood(output: str, logits: Floats, true: list[int], temperature: float) -> float:
    """Mean log-likelihood, as its definition says."""
    rows = np.arange(len(true))
    if output == "softmax":
        return float(np.log(softmax(logits / temperature)[rows, true]).mean())
    signs = np.full(logits.shape, -1.0)
    signs[rows, true] = 1
    return float(-np.logaddexp(0, -signs * logits / temperature).sum(1).mean())  # log(sigmoid), log(1 - sigmoid)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
@pytest.mark.parametrize("made_with", [0.4, 1.0, 2.5])
def test_the_temperature_is_the_best_of_a_fine_grid(output: str, made_with: float) -> None:
    logits, true = world(400, made_with)
    shares = softmax(logits) if output == "softmax" else 1 / (1 + np.exp(-logits))
    grid = np.geomspace(0.05, 20, 4000)
    best = grid[int(np.argmax([likelihood(output, logits, true, each) for each in grid]))]
    found = fit_temperature(shares, true, independent=output == "sigmoid")
    assert found == pytest.approx(float(best), rel=0.002)  # the grid's own step is 0.0015


def test_where_every_picture_is_right_there_is_no_temperature() -> None:
    shares = softmax(np.eye(4) * 3)
    assert fit_temperature(shares, [0, 1, 2, 3], independent=False) is None


def test_scores_that_say_nothing_of_the_labels_are_refused() -> None:
    shares = softmax(np.eye(4) * 3)
    with pytest.raises(ModelsError, match="say nothing of these labels"):
        fit_temperature(shares, [1, 2, 3, 0], independent=False)


def error_by_guo(shares: Floats, true: list[int]) -> float:
    """Guo et al. (2017), equation 5, with M = 15 bins: sum over bins of |B_m| / n x |acc(B_m) - conf(B_m)|."""
    found, n = 0.0, len(true)
    for m in range(1, 16):
        members = [i for i in range(n) if (m - 1) / 15 < shares[i].max() <= m / 15]
        if members:
            accuracy = sum(int(shares[i].argmax()) == true[i] for i in members) / len(members)
            confidence = sum(float(shares[i].max()) for i in members) / len(members)
            found += len(members) / n * abs(accuracy - confidence)
    return found


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_the_calibration_error_is_guos_with_fifteen_bins(temperature: float) -> None:
    logits, true = world(300, temperature, seed=1)
    shares = softmax(logits)
    assert judge(shares, true).calibration_error == pytest.approx(error_by_guo(shares, true), abs=1e-12)


@pytest.mark.parametrize(("output", "made_with"), [("softmax", 0.4), ("softmax", 2.5), ("logits", 2.5)])
def test_calibrating_lowers_the_error_on_pictures_that_were_not_fitted(output: Output, made_with: float) -> None:
    logits, true = world(800, made_with, seed=2, spread=5)
    raw = (softmax(logits) if output == "softmax" else logits).tolist()
    head = Head("", ("a", "b", "c", "d"), output, 5, 4, "")
    found = calibrate(head, raw, true, [], WISH)
    assert found.head.temperature == pytest.approx(made_with, rel=0.1)
    assert found.after.calibration_error < 0.5 * found.before.calibration_error
    assert found.before.accuracy == found.after.accuracy
    later, truth = world(800, made_with, seed=3, spread=5)
    fresh = scores(found.head, (softmax(later) if output == "softmax" else later).tolist())
    sure = fresh.max(1) >= (found.head.threshold or 0)
    assert (fresh.argmax(1) == truth)[sure].mean() > 0.93
    assert found.sure_and_right / found.sure > 0.93
    assert found.sure / 800 == pytest.approx(sure.mean(), abs=0.1)


def test_each_half_is_judged_by_what_the_other_gave() -> None:
    logits, true = world(200, 2.0, seed=4)
    raw, strange = softmax(logits).tolist(), softmax(world(60, 0.7, seed=5)[0]).tolist()
    head, wish = Head("", ("a", "b", "c", "d"), "softmax", 5, 4, ""), Wish(right=0.7, foreign=0.5)
    found = calibrate(head, raw, true, strange, wish)
    sure = right = passed = 0
    for half, other in ((0, 1), (1, 0)):
        temperature = fit_temperature(np.array(raw[other::2]), true[other::2], independent=False)
        cooled = replace(head, temperature=temperature)
        known, foreign = scores(cooled, raw[other::2]), scores(cooled, strange[other::2])
        bar = fit_threshold(known.max(1), known.argmax(1) == true[other::2], foreign.max(1), wish)
        mine, theirs = scores(cooled, raw[half::2]), scores(cooled, strange[half::2])
        assert bar is not None
        sure += int((mine.max(1) >= bar).sum())
        right += int(((mine.max(1) >= bar) & (mine.argmax(1) == true[half::2])).sum())
        passed += int((theirs.max(1) >= bar).sum())
    assert (found.sure, found.sure_and_right, found.foreign_sure, found.foreign) == (sure, right, passed, 60)
    assert found.as_dict()["foreign"]["sure"] == passed / 60


def test_the_threshold_is_the_lowest_that_brings_what_is_wished() -> None:
    random = np.random.default_rng(6)
    best = random.uniform(0.3, 1, 500)
    right, foreign = random.random(500) < best, random.uniform(0.2, 0.9, 100)
    for wish in (Wish(0.8, 1.0), Wish(0.8, 0.1), Wish(0.9, 0.0)):
        found = fit_threshold(best, right, foreign, wish)
        enough = []
        for bar in np.arange(0, 10_001) / 10_000:
            count, of = int(right[best >= bar].sum()), int((best >= bar).sum())
            z = 1.2815515655446004  # of the normal distribution, 90 %
            share = count / of if of else 0.0
            # Wilson (1927) as it is usually printed.
            least = (
                (share + z * z / (2 * of) - z * np.sqrt((share * (1 - share) + z * z / (4 * of)) / of))
                / (1 + z * z / of)
                if of
                else 0.0
            )
            if least >= wish.right and (foreign >= bar).mean() <= wish.foreign:
                enough.append(float(bar))
        assert found is not None
        assert found - enough[0] < 0.01  # only the pictures' own scores are tried
        assert found in enough


@pytest.mark.parametrize(("pictures", "found"), [(31, None), (32, 0.9)])
def test_few_pictures_are_not_enough_even_if_all_are_right(pictures: int, found: float | None) -> None:
    best = np.full(pictures, 0.9)
    assert fit_threshold(best, np.ones(pictures, bool), NOTHING_FOREIGN, WISH) == found


def test_a_threshold_that_can_not_be_had_is_refused_with_the_way_on() -> None:
    logits, true = world(300, 1.0, seed=7)
    head, raw = Head("", ("a", "b", "c", "d"), "softmax", 5, 4, ""), softmax(logits).tolist()
    with pytest.raises(ModelsError, match="give more pictures or a lower --sure-right"):
        calibrate(head, raw, true, [], Wish(right=0.999, foreign=1.0))
    surest = [[0.9999, 0.0001, 0.0, 0.0]] * 30
    with pytest.raises(ModelsError, match="at most 0 of 30 foreign pictures pass: give a larger --foreign-pass"):
        calibrate(head, raw, true, surest, Wish(right=0.8, foreign=0.0))


def test_auroc_is_the_share_of_pairs_in_order_with_ties_a_half() -> None:
    random = np.random.default_rng(8)
    known, foreign = random.integers(0, 30, 70) / 30, random.integers(0, 20, 40) / 30
    pairs = [(a > b) + 0.5 * (a == b) for a in known for b in foreign]
    assert auroc(known, foreign) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


def test_the_picture_shows_before_and_after_and_the_threshold() -> None:
    logits, true = world(300, 2.0, seed=9)
    head = Head("", ("a", "b", "c", "d"), "softmax", 5, 4, "")
    found = calibrate(head, softmax(logits).tolist(), true, [], Wish(right=0.7, foreign=1.0))
    drawing = ElementTree.fromstring(draw("m", "abcd", found.before, found))  # noqa: S314 - our own
    texts = [element.text or "" for element in drawing.iter()]
    assert f"best score; calibration error {found.before.calibration_error:.3f}" in texts
    assert f"best score; calibration error {found.after.calibration_error:.3f}" in texts
    assert f"after: temperature {found.head.temperature}; sure from {found.head.threshold}" in texts
    assert "before" in texts
    assert "after" not in draw("m", "abcd", found.before)
