"""A warm upload through the handler, against the bare sum of its parts and against the usual handler.

Three fresh processes, asked in turn, a few calls each, so that what else the machine does meets all alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from classifier.engines.litert_engine import MEGABYTES_A_CORE
from local.launch import PROJECT, credentials
from local.memory import peak_mb
from tools.benchmarks.bundles import bundle, compiled_form
from tools.benchmarks.code import FUNCTIONS
from tools.benchmarks.result import Options, Result, median, percentile, ratio
from tools.benchmarks.sandboxes import SAMPLE, classify_function, storage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

WAYS = ("ours", "bare", "usual")
CALLS = 20

type Durations = dict[str, list[tuple[float, float]]]
"""Milliseconds of each call by way: by the clock, and of the processor."""


def run(options: Options) -> Result:
    """p50, p90, p99 and peak memory of the three ways, and the ratios of their medians."""
    folder = bundle("demo", options.work, compiled=True)
    rounds = options.count(100, quick=3)
    durations: Durations = {way: [] for way in WAYS}
    with storage() as s3, ExitStack() as stack:
        function = classify_function(s3, folder, "bench-warm")
        memory = function.memory_mb
        environment = {
            **function.environment,
            "AWS_ENDPOINT_URL_S3": s3.endpoint,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
            "MODEL_FILE": str(compiled_form(folder)),
            "THREADS": str(max(1, memory // MEGABYTES_A_CORE)),
            "BUNDLE": str(folder),
        }
        processes = {way: stack.enter_context(_Process(way, environment, options)) for way in WAYS}
        for _ in range(rounds):
            for way, process in processes.items():
                durations[way] += process.ask(CALLS)
        peaks = {way: process.peak_mb() for way, process in processes.items()}
    return _result(durations, peaks, rounds)


def _result(durations: Durations, peaks: Mapping[str, int], rounds: int) -> Result:
    medians: dict[str, float] = {}
    for way in WAYS:
        for percent in (50, 90, 99):
            medians[f"{way}_p{percent}_ms"] = percentile((wall for wall, _ in durations[way]), percent)
        medians[f"{way}_cpu_ms"] = median(cpu for _, cpu in durations[way])
        medians[f"{way}_peak_mb"] = peaks[way]
    ratios = {
        # By round, then the median: a busy moment of the machine is in both of a round's figures.
        "warm_p50_over_bare": _paired(durations, "bare"),
        "warm_p50_over_usual": _paired(durations, "usual"),
        "warm_cpu_over_bare": ratio(medians["ours_cpu_ms"], medians["bare_cpu_ms"]),
        "warm_p99_over_bare": ratio(medians["ours_p99_ms"], medians["bare_p99_ms"]),
        "warm_peak_over_usual": ratio(peaks["ours"], peaks["usual"]),
    }
    notes = [f"upload of {SAMPLE.name}, {CALLS} calls of each way in each of {rounds} rounds, demo model"]
    return Result(name="warm", runs=rounds * CALLS, medians=medians, ratios=ratios, notes=notes)


def _paired(durations: Durations, other: str) -> float:
    rounds = range(0, len(durations["ours"]), CALLS)

    def p50(way: str, at: int) -> float:
        return median(wall for wall, _ in durations[way][at : at + CALLS])

    return round(median(p50("ours", at) / p50(other, at) for at in rounds), 4)


class _Process:
    """One of the three, fresh; stops with the `with` block."""

    def __init__(self, way: str, environment: Mapping[str, str], options: Options) -> None:
        command = [*options.wrap, sys.executable, str(FUNCTIONS / "warm.py"), way, str(SAMPLE)]
        own = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(PROJECT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**own, **credentials(), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._answer() == "ready"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, count: int) -> list[tuple[float, float]]:
        """Milliseconds of `count` calls, by the clock and of the processor."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return [(wall / 1e6, cpu / 1e6) for wall, cpu in json.loads(self._answer())]

    def peak_mb(self) -> int:
        return peak_mb(self._process.pid)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
