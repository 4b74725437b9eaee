"""Temperature, threshold and what they are worth, held against brute force and the formulas of the papers."""

from __future__ import annotations

import math
from copy import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest

from classifier.bundles.scores import Head, Output
from lifecycle.calibration import Wish, auroc, calibrate, fit_temperature, fit_threshold, scores
from lifecycle.chart import draw
from lifecycle.errors import ModelsError
from lifecycle.scoring import at_least, judge

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
    assert found.sure / 800 == pytest.approx(sure.mean(), abs=0.15)


def test_each_fifth_is_judged_by_what_the_others_gave() -> None:
    logits, true = world(400, 2.0, seed=4)
    raw, strange = softmax(logits).tolist(), softmax(world(60, 0.7, seed=5)[0]).tolist()
    head, wish = Head("", ("a", "b", "c", "d"), "softmax", 5, 4, ""), Wish(right=0.7, foreign=0.5)
    found = calibrate(head, raw, true, strange, wish)
    sure = right = passed = 0
    for fold in range(5):
        rest, mine = (np.arange(400) % 5 != fold).nonzero()[0], np.arange(fold, 400, 5)
        known, classes = np.array(raw)[rest], np.array(true)[rest]
        cooled = replace(head, temperature=fit_temperature(known, classes.tolist(), independent=False))
        others, foreign = (
            scores(cooled, known.tolist()),
            scores(cooled, [strange[i] for i in range(60) if i % 5 != fold]),
        )
        bar = fit_threshold(others.max(1), others.argmax(1) == classes, foreign.max(1), wish)
        assert bar is not None
        given, theirs = scores(cooled, np.array(raw)[mine].tolist()), scores(cooled, strange[fold::5])
        sure += int((given.max(1) >= bar).sum())
        right += int(((given.max(1) >= bar) & (given.argmax(1) == np.array(true)[mine])).sum())
        passed += int((theirs.max(1) >= bar).sum())
    assert (found.sure, found.sure_and_right, found.foreign_sure, found.foreign) == (sure, right, passed, 60)
    assert found.as_dict()["foreign"]["sure"] == passed / 60


@pytest.mark.parametrize(
    ("right", "pictures", "least", "p"),
    [
        (59, 59, 0.950492390111773, 0.04849452524942311),
        (92, 93, 0.9500060216120116, 0.04997579524261636),
        (179, 181, 0.9656270871205527, 0.005169461344003642),
        (120, 130, 0.8730148688331963, 0.9381388115264327),
        (470, 483, 0.9575479390589126, 0.008604724950994465),
    ],
)
def test_a_step_is_scipys_exact_binomial_test_and_clopper_and_pearsons_bound(
    right: int, pictures: int, least: float, p: float
) -> None:
    # SciPy 1.17.1: beta.ppf(0.05, right, pictures - right + 1); binomtest(right, pictures, 0.95, "greater").pvalue
    assert at_least(right, pictures, 0.95) == pytest.approx(p, rel=1e-9)
    assert at_least(right, pictures, least) == pytest.approx(0.05, rel=1e-9)
    best, answers = np.full(pictures, 0.9), np.arange(pictures) < right
    assert (fit_threshold(best, answers, NOTHING_FOREIGN, WISH) == 0.9) == (least >= 0.95)


def sureness(pictures: int, wrong: float, power: float, seed: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Best scores, and whether each is right: of the share u that is surest, `wrong` x u^power are wrong at its end."""
    random = np.random.default_rng(seed)
    place = random.random(pictures)
    return 1 - place, random.random(pictures) >= wrong * place**power


def as_it_was(best: Floats, right: NDArray[np.bool_]) -> float | None:
    """The rule before: any score whose Wilson's lower end (one-sided, 90 %) reaches what is wished; the lowest."""
    for bar in np.sort(best):
        of, z = int((best >= bar).sum()), 1.2815515655446004
        share = float(right[best >= bar].mean())
        spread = z * np.sqrt((share * (1 - share) + z * z / (4 * of)) / of)
        if (share + z * z / (2 * of) - spread) / (1 + z * z / of) >= WISH.right:
            return float(bar)
    return None


DRAWS = 200


def test_a_threshold_keeps_its_promise_in_nineteen_draws_of_twenty() -> None:
    """Where 94.9 % are right however sure, every threshold is too low; where it falls, those below a certain score."""
    flat = [sureness(300, 0.051, 0, seed) for seed in range(DRAWS)]
    assert sum(fit_threshold(*draw, NOTHING_FOREIGN, WISH) is not None for draw in flat) <= 0.05 * DRAWS
    assert sum(as_it_was(*draw) is not None for draw in flat) > 0.3 * DRAWS
    # The share of wrong answers among those from 1 - u on is 0.75 u^3.3 / 4.3: 5 % at the u below.
    falling = [sureness(400, 0.75, 3.3, seed) for seed in range(DRAWS)]
    lowest = 1 - (0.05 * 4.3 / 0.75) ** (1 / 3.3)
    found = [fit_threshold(*draw, NOTHING_FOREIGN, WISH) for draw in falling]
    assert sum(bar is not None and bar < lowest for bar in found) <= 0.05 * DRAWS
    assert sum(bar is not None for bar in found) > 0.7 * DRAWS


def test_the_threshold_is_the_last_step_that_passes_and_above_what_lets_foreign_pictures_in() -> None:
    best, right = sureness(500, 0.5, 3, seed=6)
    found = fit_threshold(best, right, NOTHING_FOREIGN, WISH)
    assert found is not None
    ordered = np.sort(best)[::-1]
    expected = None
    for count in [*range(167, 500, 25), 500]:  # from the surest third on, a twentieth further each time
        sure = best >= math.floor(ordered[count - 1] * 10_000) / 10_000
        wrong, of = int((~right[sure]).sum()), int(sure.sum())
        if sum(math.comb(of, each) * 0.05**each * 0.95 ** (of - each) for each in range(wrong + 1)) > 0.05:
            break
        expected = float(best[sure].min())
    assert expected is not None
    assert 0 <= expected - found < 1e-4
    foreign = np.linspace(0.5, 0.99, 50)
    strict = fit_threshold(best, right, foreign, Wish(0.95, 0.1))
    assert strict == 0.9401  # 5 of 50 are above: 0.95 and on; 0.94 must not pass
    assert fit_threshold(best, right, np.ones(50), Wish(0.95, 0.1)) is None
    assert fit_threshold(best, right, np.ones(50), Wish(0.95, 1.0)) == found


@pytest.mark.parametrize(("share", "pictures"), [(0.95, 59), (0.9, 29), (0.5, 5), (0.0, 1)])
def test_few_pictures_are_not_enough_even_if_all_are_right(share: float, pictures: int) -> None:
    for count, expected in ((pictures - 1, None), (pictures, 0.9)):
        best = np.full(count, 0.9)
        assert fit_threshold(best, np.ones(count, bool), NOTHING_FOREIGN, Wish(share, 1.0)) == expected


def test_a_threshold_that_can_not_be_had_is_refused_with_the_way_on() -> None:
    logits, true = world(300, 1.0, seed=7)
    head, raw = Head("", ("a", "b", "c", "d"), "softmax", 5, 4, ""), softmax(logits).tolist()
    with pytest.raises(ModelsError, match="with 95% confidence: give more pictures or a lower --sure-right"):
        calibrate(head, raw, true, [], Wish(right=0.99, foreign=1.0))
    with pytest.raises(ModelsError, match=r"it takes 2995 pictures at least, all of them right.* there are 300"):
        calibrate(head, raw, true, [], Wish(right=0.999, foreign=1.0))
    with pytest.raises(ModelsError, match="no number of pictures shows that all answers are right"):
        calibrate(head, raw, true, [], Wish(right=1.0, foreign=1.0))
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
