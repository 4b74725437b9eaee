"""Every benchmark says what it measured in one form, and its figures agree with each other; none is judged."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from classifier.s3.endpoint import Endpoint
from classifier.s3.sigv4 import Credentials
from classifier.s3.storage import S3
from local.launch import PROJECT
from tools.benchmarks import cost
from tools.benchmarks.package import carried
from tools.benchmarks.result import Options, Result, median, percentile, ratio
from tools.benchmarks.throttled import ThrottledS3
from tools.benchmarks.warm import CALLS, _result

FIELDS = {"name", "date", "commit", "hardware", "runs", "medians", "ratios", "notes"}


def bench(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """What `scripts/bench` writes and prints, which must be the same."""
    target = tmp_path / "found.json"
    command = [sys.executable, str(PROJECT / "scripts" / "bench"), *arguments, "--quick", "--json", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(target.read_text())
    assert json.loads(done.stdout) == found
    assert found.keys() == FIELDS
    assert found["name"] == arguments[0]
    assert found["hardware"]["cores"] >= 1
    return found


def test_a_result_names_its_commit_and_hardware() -> None:
    found = Result(name="warm", runs=3, medians={"a_ms": 1.0}, ratios={"a_over_b": 0.5}).to_json()
    assert found.keys() == FIELDS
    assert {"processor", "cores", "memory_mb", "system", "python", "load"} == found["hardware"].keys()
    assert (found["runs"], found["medians"], found["ratios"]) == (3, {"a_ms": 1.0}, {"a_over_b": 0.5})


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 2), (51, 3), (75, 3), (90, 4), (99, 4), (100, 4)])
def test_percentiles_are_by_nearest_rank(percent: int, expected: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == expected


def test_medians_and_ratios_are_rounded_to_what_is_worth_printing() -> None:
    assert median([1.00049, 1.0004, 5]) == 1.0
    assert ratio(1, 3) == 0.33333


def test_a_quick_run_measures_less_and_a_given_number_wins() -> None:
    assert [Options().count(9), Options(quick=True).count(9), Options(quick=True, runs=4).count(9)] == [9, 1, 4]
    assert Options(cores=1).wrap == ("taskset", "-c", "0-0")
    assert Options().wrap == ()


def test_warm_ratios_are_taken_within_a_round_so_that_a_busy_one_does_not_count() -> None:
    busy = 10.0
    ours = [(1.2, 1.1)] * CALLS + [(1.2 * busy, 1.1)] * CALLS + [(1.2, 1.1)] * CALLS
    bare = [(1.0, 1.0)] * CALLS + [(1.0 * busy, 1.0)] * CALLS + [(1.0, 1.0)] * CALLS
    usual = [(24.0, 40.0)] * CALLS + [(24.0 * busy, 40.0)] * CALLS + [(24.0, 40.0)] * CALLS
    found = _result({"ours": ours, "bare": bare, "usual": usual}, {"ours": 60, "bare": 50, "usual": 600}, 3)
    assert found.ratios == {
        "warm_p50_over_bare": 1.2,
        "warm_p50_over_usual": 0.05,
        "warm_cpu_over_bare": 1.1,
        "warm_p99_over_bare": 1.2,
        "warm_peak_over_usual": 0.1,
    }
    assert found.medians["ours_p50_ms"] == 1.2
    assert found.medians["ours_p99_ms"] == 12.0


@pytest.mark.parametrize(
    ("warm_ms", "cold_ms", "memory_mb", "share", "expected"),
    [
        (0, 0, 1024, 0, 1.2),  # requests alone: 20 cents to Lambda, 1 dollar to HTTP API
        (1000, 1000, 2048, 0.5, 1.2 + 2 * 16.6667),  # 2 GB for a second, whoever is cold
        (0, 1000, 2048, 0.01, 1.2 + 2 * 0.166667),
        (100, 0, 3538, 0, 1.2 + 0.1 * 3538 / 1024 * 16.6667),  # two cores do not halve it
        (100, 0, 1769, 0, 1.2 + 0.1 * 1769 / 1024 * 16.6667),
        (100, 0, 884.5, 0, 1.2 + 0.1 * 1769 / 1024 * 16.6667),  # half a core takes twice as long: the same price
    ],
)
def test_dollars_follow_the_price_list(
    warm_ms: float, cold_ms: float, memory_mb: int, share: float, expected: float
) -> None:
    assert cost.dollars(warm_ms, cold_ms, memory_mb, share) == pytest.approx(expected, abs=1e-4)


@pytest.mark.lambda_
@pytest.mark.tensorflow
def test_warm_has_its_fields(tmp_path: Path) -> None:
    found = bench(tmp_path, "warm")
    medians = found["medians"]
    for way in ("ours", "bare", "usual"):
        assert 0 < medians[f"{way}_p50_ms"] <= medians[f"{way}_p90_ms"] <= medians[f"{way}_p99_ms"]
        assert medians[f"{way}_peak_mb"] > 0
    assert found["runs"] == 3 * CALLS
    assert found["ratios"]["warm_p50_over_usual"] > 0
    assert found["ratios"]["warm_p50_over_bare"] > 0


@pytest.mark.lambda_
@pytest.mark.tensorflow
def test_cold_start_has_its_fields(tmp_path: Path) -> None:
    found = bench(tmp_path, "cold_start", "--only", "litert")
    medians, ratios = found["medians"], found["ratios"]
    assert 0 < medians["litert_init_ms"] < medians["litert_cold_ms"]
    assert 0 < medians["floor_init_ms"] < medians["floor_cold_ms"]
    assert ratios["litert_cold_over_floor"] == pytest.approx(
        medians["litert_cold_ms"] / medians["floor_cold_ms"], abs=2e-3
    )
    assert medians["floor_peak_mb"] > 0
    assert 0 < medians["litert_demo_peak_mb"] <= medians["litert_peak_mb"]
    assert 0 < medians["litert_ready_ms"] < medians["litert_cold_ms"]
    assert medians["litert_demo_cold_ms"] == medians["litert_cold_ms"]
    assert ratios["litert_ready_over_warm"] > 0


def test_every_api_has_its_price() -> None:
    """The names are serverless.yml's; only the gateway's price differs."""
    apis = (PROJECT / "serverless.yml").read_text().partition("\n  apis:\n")[2].partition("\nresources:")[0]
    assert set(re.findall(r"^    ([\w-]+):", apis, re.MULTILINE)) == set(cost.APIS)
    dollars = {api: cost.dollars(10, 500, 2048, 0.01, api) for api in cost.APIS}
    extra = {api: round(price - dollars["url"], 4) for api, price in dollars.items()}
    assert (extra["url-iam"], extra["http"], extra["http-jwt"], extra["rest-key"]) == (0, 1, 1, 3.5)


def test_what_travels_is_counted_where_it_travels() -> None:
    apart = {"package_bytes": 10, "pack": {"bytes": 140, "apart": True}}
    assert carried(apart) == {
        "ours_first_deployment_bytes": 150,
        "ours_next_deployment_bytes": 10,
        "ours_sandbox_fetches_bytes": 10,
        "ours_sandbox_fetches_with_tensorflow_bytes": 150,
    }
    assert set(carried({"package_bytes": 150, "pack": {"bytes": 140, "apart": False}}).values()) == {150}


def test_a_throttled_s3_gives_the_bytes_that_were_asked_for(tmp_path: Path) -> None:
    (tmp_path / "pack").write_bytes(bytes(range(256)) * 1000)
    s3 = ThrottledS3(bytes_a_second=1e9, wait_s=0)
    s3.start()
    try:
        s3.files["/packs/a/b"] = tmp_path / "pack"
        client = S3(Endpoint("us-east-1", s3.endpoint), lambda: Credentials("testing", "testing"))
        with client.stream("packs", "a/b", time.monotonic() + 10, start=1000, size=100_000) as stream:
            assert b"".join(iter(lambda: stream.read(200_000), b"")) == (tmp_path / "pack").read_bytes()[1000:101_000]
    finally:
        s3.stop()


@pytest.mark.lambda_
@pytest.mark.tensorflow
def test_cost_has_its_fields(tmp_path: Path) -> None:
    found = bench(tmp_path, "cost")
    medians = found["medians"]
    assert medians["dollars_per_million_2018_post"] == 40
    assert medians["dollars_per_million"] == cost.dollars(
        medians["billed_warm_ms"], medians["billed_cold_ms"], int(medians["memory_mb"]), 0.01
    )
    by_share = [medians[f"dollars_per_million_1769mb_{share}_cold"] for share in cost.COLD_SHARES]
    assert by_share == sorted(by_share)
    assert any(cost.PRICES in note for note in found["notes"])
