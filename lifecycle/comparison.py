"""How two models compare by the log lines of their requests: shares and medians with intervals, and what they decide.

Shares have Wilson's score interval (E. B. Wilson, JASA 22, 1927), their differences Newcombe's hybrid score interval
(R. G. Newcombe, Statistics in Medicine 17, 1998, 873-890, method 10). Medians have the distribution-free interval of
order statistics (W. J. Conover, Practical Nonparametric Statistics, 3.2), their differences the same square-and-add
(G. Y. Zou and A. Donner, Statistics in Medicine 27, 2008). All take requests for independent of each other.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CONFIDENCE = 0.95
WATCHING_CONFIDENCE = 0.999
"""Of who looks again and again, and acts on the first time that it seems to be so."""
ERRORS_MARGIN, UNSURE_MARGIN, SLOWER_MARGIN = 0.01, 0.05, 0.1
"""What may still be between the two when they count as equal: shares, and a part of the stable model's median."""
LABELS_SHOWN = 10
_MOST_REQUESTS = 1 << 40

type Verdict = Literal["worse", "no worse", "not known yet"]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and between which values the truth lies, with the confidence that was asked for."""

    estimate: float
    low: float
    high: float

    def minus(self, other: Interval) -> Interval:
        """The difference of two independent estimates, by square and add."""
        least = math.hypot(self.estimate - self.low, other.high - other.estimate)
        most = math.hypot(self.high - self.estimate, other.estimate - other.low)
        difference = self.estimate - other.estimate
        return Interval(difference, difference - least, difference + most)


def z_of(confidence: float, comparisons: int = 1) -> float:
    """The normal quantile of a two-sided interval; of several comparisons each gets its part (Bonferroni)."""
    return NormalDist().inv_cdf(1 - (1 - confidence) / (2 * comparisons))


def share(count: int, of: int, z: float) -> Interval:
    """A share with Wilson's interval; anything is possible of nothing."""
    if not of:
        return Interval(0.0, 0.0, 1.0)
    p, part = count / of, z * z / of
    middle = (p + part / 2) / (1 + part)
    half = z * math.sqrt(p * (1 - p) / of + part / (4 * of)) / (1 + part)
    return Interval(p, max(0.0, min(middle - half, p)), min(1.0, max(middle + half, p)))


def median(values: Iterable[float], z: float) -> Interval:
    """A median with the interval of order statistics; unbounded where there are too few."""
    found = sorted(values)
    count = len(found)
    if not count:
        return Interval(0.0, 0.0, math.inf)
    half = z * math.sqrt(count) / 2
    low, high = math.floor(count / 2 - half), math.ceil(count / 2 + 1 + half)  # ranks, from 1
    middle = (found[(count - 1) // 2] + found[count // 2]) / 2
    return Interval(middle, found[low - 1] if low >= 1 else 0.0, found[high - 1] if high <= count else math.inf)


@dataclass(slots=True)
class Side:
    """What one model's lines say."""

    requests: int = 0
    errors: int = 0
    absent: int = 0
    """Requests of the canary's callers that the stable model answered."""
    sure: Counter[bool] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    ms: list[float] = field(default_factory=list)

    def add(self, line: Mapping[str, Any]) -> None:
        """Count one request's line."""
        self.requests += 1
        self.errors += int(line["status"]) >= 500
        self.absent += bool(line.get("canary_absent"))
        if isinstance(line.get("label"), str):  # one picture's
            self.labels[line["label"]] += 1
            if "unsure" in line:
                self.sure[not line["unsure"]] += 1
        if not line.get("cold_start") and "shadow" not in line and int(line["status"]) < 400:
            self.ms.append(float(line["ms"]))


@dataclass(slots=True)
class Shadow:
    """What lines say of requests that both computed."""

    computed: int = 0
    others: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of both; `verdict` is empty where it decides nothing by itself."""

    measure: str
    stable: Interval
    canary: Interval
    difference: Interval
    verdict: Verdict | Literal["", "moved"] = ""

    def as_dict(self) -> dict[str, Any]:
        """As `--json` tells it; what is unbounded is null."""

        def told(interval: Interval) -> list[float | None]:
            numbers = (interval.estimate, interval.low, interval.high)
            return [round(number, 6) if math.isfinite(number) else None for number in numbers]

        sides = {name: told(getattr(self, name)) for name in ("stable", "canary", "difference")}
        return {"measure": self.measure, **sides, "verdict": self.verdict}


@dataclass(slots=True)
class Comparison:
    """The two models' requests, and what follows from them at a confidence."""

    stable: Side = field(default_factory=Side)
    canary: Side = field(default_factory=Side)
    shadow: Shadow = field(default_factory=Shadow)
    confidence: float = CONFIDENCE

    def add(self, line: Mapping[str, Any]) -> None:
        """Count one line that has a `role`."""
        (self.canary if line["role"] == "canary" else self.stable).add(line)
        self.shadow.computed += line.get("shadow") in ("same", "other")
        self.shadow.others += line.get("shadow") == "other"
        self.shadow.failed += line.get("shadow") == "failed"

    @property
    def rows(self) -> list[Row]:
        """Errors, sureness and latency, each with its verdict."""
        z = z_of(self.confidence)
        sides = (self.stable, self.canary)
        errors = [share(side.errors, side.requests, z) for side in sides]
        rows = [_row("errors", *errors, worse=0.0, margin=ERRORS_MARGIN)]
        if any(side.sure for side in sides):
            unsure = [share(side.sure[False], side.sure.total(), z) for side in sides]
            rows.append(_row("not sure", *unsure, worse=0.0, margin=UNSURE_MARGIN))
        times = [median(side.ms, z) for side in sides]
        margin = times[0].estimate * SLOWER_MARGIN
        return [*rows, _row("median ms", *times, worse=margin, margin=margin)]

    @property
    def label_rows(self) -> list[Row]:
        """The most frequent labels' shares; `moved` where they differ by more than chance, all of them compared."""
        both = self.stable.labels + self.canary.labels
        z = z_of(self.confidence, max(1, len(both)))
        rows = []
        for label, _ in both.most_common(LABELS_SHOWN):
            stable, canary = (share(side.labels[label], side.labels.total(), z) for side in (self.stable, self.canary))
            apart = canary.minus(stable)
            rows.append(Row(label, stable, canary, apart, "moved" if apart.low > 0 or apart.high < 0 else ""))
        return rows

    @property
    def disagreement(self) -> Interval:
        """The share of the shadow's requests that have another best label."""
        return share(self.shadow.others, self.shadow.computed, z_of(self.confidence))

    @property
    def shadow_failures(self) -> Interval:
        """The share of the shadow's requests that it failed."""
        return share(self.shadow.failed, self.shadow.computed + self.shadow.failed, z_of(self.confidence))

    def worse(self, measures: Iterable[str] = ("errors", "not sure", "median ms")) -> list[str]:
        """Those measures by which the canary is worse."""
        return [row.measure for row in self.rows if row.verdict == "worse" and row.measure in measures]

    @property
    def enough(self) -> bool:
        """Whether every measure has a verdict."""
        return all(row.verdict != "not known yet" for row in self.rows)

    @property
    def missing(self) -> int:
        """How many more requests the canary needs for a verdict on errors, if it fails as often as the stable model."""
        z = z_of(self.confidence)
        requests = max(1, self.canary.requests)
        rate = (self.stable.errors + self.canary.errors) / max(1, self.stable.requests + self.canary.requests)
        stable = share(round(rate * self.stable.requests), self.stable.requests, z)
        while (
            requests < _MOST_REQUESTS and share(round(rate * requests), requests, z).minus(stable).high >= ERRORS_MARGIN
        ):
            requests += max(1, requests // 8)
            if self.stable.requests:
                grown = self.stable.requests * requests // max(1, self.canary.requests)
                stable = share(round(rate * grown), grown, z)
        return requests - self.canary.requests


def _row(measure: str, stable: Interval, canary: Interval, *, worse: float, margin: float) -> Row:
    difference = canary.minus(stable)
    verdict: Verdict = "not known yet"
    if difference.low > worse:
        verdict = "worse"
    elif difference.high < margin:
        verdict = "no worse"
    return Row(measure, stable, canary, difference, verdict)


def compared(lines: Iterable[Mapping[str, Any]], versions: Sequence[str], confidence: float = CONFIDENCE) -> Comparison:
    """The comparison by lines that have a role; those that name a version other than the two are another time's."""
    found = Comparison(confidence=confidence)
    for line in lines:
        if line.get("version", versions[0]) in versions:
            found.add(line)
    return found
