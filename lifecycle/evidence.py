"""Which pipeline a model was trained through, judged by pictures whose labels are known.

The pipeline of the training gives the true labels the best log-likelihood; any other disturbs the model. Pipelines are
compared picture by picture, so that few pictures do: what makes a picture hard is hard for each of them. To that comes
what the model's BatchNormalization layers keep of the training's pictures, and how common a pipeline is.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lifecycle.console import paced, table
from lifecycle.labelled import model_input
from lifecycle.pipelines import NEAR, UNLIKE, Pipeline, named, numbers_of, pixels_of
from lifecycle.scoring import Quality, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from classifier.pictures.preprocessing import Preprocessing
    from lifecycle.batch_moments import BatchMoments

FEW, SOME, MANY = 48, 160, 400
"""Pictures that numbers are tried on; and pixels, by `verify` and by `publish`."""
LIKELY = 2
"""Ways with the numbers that are tried with every kind of pixels."""
LEAST_SCORE = 1e-4
"""Scores below count as this: one picture that is surely wrong must not outweigh all others."""
MOST_APART = 3.0
"""A picture's difference of log-likelihoods counts as this at most."""
DOUBT = 3.0
"""A pipeline is ruled out when the pictures make it less likely than another by more nats: twenty to one."""
NEARLY = 1.0
"""Among nearly the same pixels fewer nats than these decide nothing."""
ERRORS = 2.0
"""A model is better than guessing when it is right more often by more standard errors."""
ALIKE = 0.01
"""Pipelines whose true labels' scores differ by less, on average, can't be told apart, nor need they be."""

MOST_TOLD = math.log(1e6)
"""Larger odds than these are not told apart."""

RIVAL, SAME = "can't be ruled out", "the same answers"
NOTES = {
    "best": "the most likely by the true labels' scores, by what BatchNormalization layers keep of the training's "
    "pictures, and by how common it is",
    RIVAL: f"the pictures make it less likely than another by less than {math.exp(DOUBT):.0f} to 1",
    SAME: f"the true labels' scores differ from the best one's by less than {ALIKE} on average, so either may be taken",
}
"""What the table's last column says."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A pipeline and what it came to; `likelihood` is the log of each picture's true label's score."""

    pipeline: Pipeline
    quality: Quality
    top_score: float
    likelihood: NDArray[np.float64]

    behind: float = 0.0
    """How much less likely than the likeliest one the pictures make it, in nats."""

    @property
    def odds_against(self) -> float:
        """The same with how rare it is, which orders pipelines and rules none out."""
        return self.behind + self.pipeline.rarity

    @property
    def mean(self) -> float:
        """Mean log-likelihood of the true labels."""
        return float(self.likelihood.mean())

    def worse_than(self, other: Tried) -> float:
        """How much less likely it is by the pictures' labels, in nats; negative if it is more likely.

        The lesser of two: the likelihoods' own ratio, which a model that is too sure exaggerates; and half the square
        of the mean difference in standard errors, which a small but constant difference makes large.
        """
        import numpy as np

        apart = np.clip(other.likelihood - self.likelihood, -MOST_APART, MOST_APART)
        nats = float(apart.sum())
        spread = float(apart.std(ddof=1)) if len(apart) > 1 else math.inf
        errors = nats / (spread * math.sqrt(len(apart))) if spread else math.inf
        return math.copysign(min(abs(nats), errors**2 / 2), nats)

    def near(self, other: Tried) -> bool:
        """Whether both are nearly the same pixels."""
        mine, its = self.pipeline, other.pipeline
        numbers = mine.numbers == its.numbers and mine.preprocessing.color == its.preprocessing.color
        return numbers and {mine.pixels, its.pixels} in NEAR

    def like(self, other: Tried) -> bool:
        """Whether both give the same answers."""
        import numpy as np

        return float(np.abs(np.exp(self.likelihood) - np.exp(other.likelihood)).mean()) < ALIKE


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that were tried, the best first, and those among which the pictures can't decide."""

    tried: tuple[Tried, ...]
    best: Tried
    rivals: tuple[Tried, ...]

    @property
    def clear(self) -> bool:
        """Whether no other is within the error, and the best one tells labels at all."""
        return not self.rivals and self.tells

    @property
    def tells(self) -> bool:
        """Whether the model is better than guessing by the best pipeline, beyond the error of so many pictures.

        Else the pipeline that makes it least sure of anything would come out best.
        """
        chance = 1 / max(1, len(self.best.quality.confusion))
        error = math.sqrt(chance * (1 - chance) / self.best.quality.pictures)
        return self.best.quality.accuracy > chance + ERRORS * error

    def better_than(self, published: Preprocessing) -> Tried | None:
        """The best pipeline, if the published one is worse beyond the error."""
        given = self.of(published)
        if given is None or not self.tells or given.like(self.best):
            return None
        return self.best if given.behind - self.best.behind > DOUBT else None

    def verdict(self, published: Preprocessing) -> list[str]:
        """What `verify` says of the published pipeline."""
        better, given = self.better_than(published), self.of(published)
        if not self.tells:
            return ["Pipeline by none is the model better than guessing on these pictures"]
        if better is None or given is None:
            return ["Pipeline no other fits these pictures better than the published one"]
        text = f"{better.quality.accuracy:.1%} right against {given.quality.accuracy:.1%}"
        return [
            f"Pipeline the published one is not the best: {better.pipeline.name}, {text} with {given.pipeline.name}",
            f"         publish again with {json.dumps(better.pipeline.preprocessing.to_json())}",
        ]

    def of(self, preprocessing: Preprocessing) -> Tried | None:
        """What this pipeline came to, if it was tried."""
        return next((each for each in self.tried if each.pipeline.preprocessing == preprocessing), None)

    def lines(self, asked: Preprocessing | None = None, most: int = 12) -> list[str]:
        """A table of the best few, and of the one that was asked for; then what its last column means."""
        rows: list[Sequence[object]] = [("trained with", "right", "mean score", "calibration error", "odds", "")]
        wanted = self.of(asked) if asked else None
        notes = set()
        for each in (*self.tried[:most], *([wanted] if wanted and wanted in self.tried[most:] else [])):
            note = "best" if each is self.best else RIVAL if each in self.rivals else ""
            note = note or (SAME if each.like(self.best) else "")
            notes.add(note)
            quality = each.quality
            numbers = f"{quality.accuracy:.1%}", f"{each.top_score:.3f}", f"{quality.calibration_error:.3f}"
            apart = math.exp(min(each.odds_against - self.best.odds_against, MOST_TOLD))
            odds = "" if each is self.best else f"1 : {apart:,.{0 if apart >= 10 else 1}f}"
            said = ", ".join(filter(None, (note, "asked for" if each is wanted else "")))
            rows.append((each.pipeline.name, *numbers, odds, said))
        left_out = len(self.tried) - len(rows) + 1
        more = [f"{left_out} more, which fit less, are left out"] if left_out > 0 else []
        return [*table(rows), *(f"{note}: {NOTES[note]}" for note in NOTES if note in notes), *more]

    def as_dict(self) -> dict[str, Any]:
        """As --json gives it."""
        return {
            "best": self.best.pipeline.preprocessing.to_json(),
            "clear": self.clear,
            "tried": [
                {
                    "pipeline": each.pipeline.name,
                    "preprocessing": each.pipeline.preprocessing.to_json(),
                    "accuracy": each.quality.accuracy,
                    "mean_top_score": each.top_score,
                    "calibration_error": each.quality.calibration_error,
                    "log_likelihood": each.mean,
                    "nats_behind": each.behind,
                    "rarity": each.pipeline.rarity,
                }
                for each in self.tried
            ],
        }


def weigh(
    given: Preprocessing,
    scores: Callable[[Any], Sequence[float]],
    pictures: Sequence[tuple[bytes, int]],
    tell: Callable[[str], None],
    most: int = MANY,
    moments: BatchMoments | None = None,
) -> Evidence:
    """Try the plausible pipelines on pictures with the index of their label: numbers first, then pixels.

    `given` is what the model is published with, and one of those tried; `scores` gives a model's input its scores;
    `moments` are those of its BatchNormalization layers, if it has any.
    """
    few, many = _spread(pictures, min(FEW, most)), _spread(pictures, most)
    tell(f"trying which numbers the model was trained on, with {len(few)} pictures")
    trial = _Trial(scores, few, None)
    best: dict[tuple[str, str], Tried] = {}
    step, ways = paced(tell), list(numbers_of(given))
    for done, pipeline in enumerate(ways):
        step(f"{done} of {len(ways)} ways with the numbers tried")
        tried = max((trial.of(each) for each in pixels_of(pipeline, UNLIKE)), key=lambda each: each.mean)
        best[pipeline.numbers, pipeline.preprocessing.color] = tried
    ranked = sorted(best.values(), key=lambda each: -each.mean)
    kept = [each.pipeline for each in ranked[:LIKELY] if each.worse_than(ranked[0]) <= DOUBT]
    tell(f"trying which pixels the model was trained on, with {len(many)} pictures")
    wanted = [pipeline for each in kept for pipeline in pixels_of(each)]
    if all(pipeline.preprocessing != given for pipeline in wanted):
        wanted.append(named(given))
    trial, found = _Trial(scores, many, moments), []
    for done, pipeline in enumerate(wanted):
        step(f"{done} of {len(wanted)} pipelines tried")
        found.append(trial.of(pipeline))
    return _decided(found, moments.behind(trial.seen, trial.classes) if moments else [0.0] * len(found))


def _decided(tried: Sequence[Tried], by_moments: Iterable[float]) -> Evidence:
    """All evidence put together. Those that answer like the best one, or have nearly its pixels, are no rivals.

    Of those with nearly its pixels the most common is taken, if it is nearly as likely.
    """
    likeliest = max(tried, key=lambda each: each.mean)
    behind = [each.worse_than(likeliest) + float(nats) for each, nats in zip(tried, by_moments, strict=True)]
    least = min(behind)
    ranked = [replace(each, behind=nats - least) for each, nats in zip(tried, behind, strict=True)]
    ranked.sort(key=lambda each: each.odds_against)
    first = ranked[0]
    nearly = [each for each in ranked if each.near(first) and each.odds_against - first.odds_against <= NEARLY]
    best = min((first, *nearly), key=lambda each: each.pipeline.rarity)
    others = [each for each in ranked if each is not best]
    rivals = [each for each in others if each.behind <= DOUBT and not each.near(best) and not each.like(best)]
    return Evidence(tuple(ranked), best, tuple(rivals))


def _spread(pictures: Sequence[tuple[bytes, int]], most: int) -> Sequence[tuple[bytes, int]]:
    """At most so many pictures, as many of each label as may be, from all over its folder."""
    labels: dict[int, list[tuple[bytes, int]]] = {}
    for picture in pictures:
        labels.setdefault(picture[1], []).append(picture)
    share = max(1, most // max(1, len(labels)))
    counts = [(found, min(share, len(found))) for found in labels.values()]
    return [found[len(found) * place // count] for found, count in counts for place in range(count)]


class _Trial:
    """Pictures, each decoded and resized once for each kind of pixels."""

    def __init__(
        self,
        scores: Callable[[Any], Sequence[float]],
        pictures: Sequence[tuple[bytes, int]],
        moments: BatchMoments | None,
    ) -> None:
        import numpy as np

        self._scores, self._data, self._moments = scores, [data for data, _ in pictures], moments
        self.seen: list[NDArray[np.float32]] = []
        """What `moments` saw by each pipeline that was tried, of shape (pictures, 2, channels)."""
        self.classes = np.array([label for _, label in pictures])
        self._made: dict[Preprocessing, list[NDArray[np.float32]]] = {}

    def of(self, pipeline: Pipeline) -> Tried:
        """The pipeline with what it comes to on these pictures."""
        import numpy as np

        rows, seen = [], []
        for pixels in self._pixels(pipeline):
            array = numbered(pixels, pipeline.preprocessing)
            rows.append(list(self._scores(array)))
            if self._moments:
                seen.append(self._moments.look(array))
        self.seen.append(np.array(seen))
        given = np.nan_to_num(np.array(rows, np.float32), nan=0.0)
        true = given[np.arange(len(given)), self.classes].astype(np.float64)
        likelihood = np.log(np.clip(true, LEAST_SCORE, 1.0))
        return Tried(pipeline, judge(given, self.classes.tolist()), float(given.max(1).mean()), likelihood)

    def _pixels(self, pipeline: Pipeline) -> list[NDArray[np.float32]]:
        import numpy as np

        plain = pipeline.plain
        if plain not in self._made:
            self._made[plain] = [np.asarray(model_input(data, plain)) for data in self._data]
        return self._made[plain]


def numbered(pixels: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Pixels of 0 to 255 in the order red, green, blue after what a pipeline does to the numbers."""
    import numpy as np

    array = pixels[..., ::-1] if preprocessing.reverses else pixels
    for operation, numbers in preprocessing.steps():
        array = getattr(np, operation)(array, np.array(numbers, np.float32))
    if preprocessing.standardize != "none":
        array = (array - array.mean()) / max(float(array.std()), 1 / math.sqrt(array.size))
    return np.ascontiguousarray(array, np.float32)
