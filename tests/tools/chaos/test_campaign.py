"""The fault campaign: a short one for real, and proof that it notices what it is there to notice."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from local.launch import PROJECT
from local.report import Report
from tools.chaos.attempts import Attempt, Span, cause
from tools.chaos.campaign import Plan, run
from tools.chaos.cases import Case, Refusal
from tools.chaos.faults import FAULTS
from tools.chaos.judge import FAILED, Finding, Reply, judge
from tools.chaos.models import Answers
from tools.chaos.sandboxes import Kill, lost, warm_requests

SECONDS = 20.0
ANSWERS = {"v1": Answers(("cat", "dog"), {"a.jpg": (0.75, 0.25)})}
UPLOAD = Case(kind="upload", name="a.jpg", wants=("a.jpg",))
BY_KEY = Case(kind="s3key", name="a.jpg", wants=("a.jpg",), by_key=True)
HOSTILE = Case(kind="hostile link", name="x", wants=(Refusal(400, "invalid_url"),), form="refused")


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("chaos_script", str(PROJECT / "scripts" / "chaos"))
    spec = importlib.util.spec_from_loader("chaos_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.lambda_
@pytest.mark.tensorflow
def test_nothing_that_must_be_0_is_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "found.json"
    status = script().main(["--seconds", str(SECONDS), "--json", str(target)])
    table = capsys.readouterr().out
    found = json.loads(target.read_text())
    assert status == 0, table
    assert found["ok"]
    nought = ("unexplained failures", "wrong results", "sandboxes lost", "leaks", "captures torn")
    assert found["must_be_0"] == dict.fromkeys(nought, 0)
    assert found["captures"]["pictures kept"] > 0
    assert found["captures"]["with feedback"] > 0
    assert {fault.name for fault in FAULTS} <= found["events"].keys()
    assert found["events"]["sandbox killed"] > 3
    assert found["answers"]["200"] > 50
    assert 30 < found["peak_mb"] < found["memory_mb"]
    assert {line.split("  ")[0] for line in table.splitlines()} >= {
        "wrong results",
        "sandboxes lost",
        "peak memory, MB",
    }


@pytest.mark.lambda_
@pytest.mark.tensorflow
def test_a_campaign_notices_everything_that_must_be_0() -> None:
    """Its handler changes scores, dies, says that it has no model though it has, and logs a credential."""
    for seconds in (4, 15, 40):  # as many as this machine needs for a dozen requests to one process
        found = run(Plan(seconds=seconds, clients=2, handlers="wrong", kills=False))
        if len(found.broken) == 4:
            break
    assert found.broken.keys() == {"unexplained failures", "wrong results", "sandboxes lost", "leaks"}
    assert '"ok": false' in found.to_json()


def reply(status: int, version: str = "v1", **document: object) -> Reply:
    return Reply(status, {"x-model-version": version}, {"model": {"version": version, "engine": "litert"}, **document})


def predictions(cat: float, dog: float) -> list[dict[str, object]]:
    return [{"label": "cat", "score": cat}, {"label": "dog", "score": dog}]


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (reply(200, predictions=predictions(0.75, 0.25)), "right"),
        (reply(200, predictions=predictions(0.75009, 0.25)), "right"),
        (reply(200, predictions=predictions(0.7502, 0.25)), "wrong"),
        (reply(200, predictions=predictions(0.25, 0.75)), "wrong"),
        (reply(200, predictions=predictions(float("nan"), 0.25)), "wrong"),
        (reply(200, predictions=predictions(0.75, 0.25)[:1]), "wrong"),
        (reply(200, "v2", predictions=predictions(0.75, 0.25)), "wrong"),
        (reply(200), "wrong"),
        (Reply(200, {}, None), "wrong"),
        (reply(503, error={"code": "storage_unavailable"}), "failed"),
        (Reply(500, {}, {"message": "Internal Server Error"}), "failed"),
    ],
)
def test_a_reply_is_right_only_if_its_scores_are_the_references(given: Reply, verdict: str) -> None:
    assert judge(UPLOAD, given, ANSWERS).verdict == verdict


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (reply(400, error={"code": "invalid_url"}), "right"),
        (reply(400, error={"code": "url_host_not_allowed"}), "failed"),
        (reply(422, error={"code": "invalid_url"}), "failed"),
        (reply(200, predictions=predictions(0.75, 0.25)), "failed"),
    ],
)
def test_a_refusal_is_right_only_with_its_own_status_and_code(given: Reply, verdict: str) -> None:
    assert judge(HOSTILE, given, ANSWERS).verdict == verdict


THROTTLED = next(fault for fault in FAULTS if fault.name == "S3 throttled")
SPANS = [Span(THROTTLED, 10.0, 20.0)]
DOWN = "503 storage_unavailable"


@pytest.mark.parametrize(
    ("case", "began", "code", "warm", "expected"),
    [
        (BY_KEY, 15.0, DOWN, True, "S3 throttled"),
        (BY_KEY, 25.0, DOWN, True, ""),
        (UPLOAD, 15.0, DOWN, False, "S3 throttled"),
        (UPLOAD, 21.0, DOWN, False, "S3 throttled"),
        (UPLOAD, 25.0, DOWN, False, ""),
        (UPLOAD, 15.0, DOWN, True, ""),
        (UPLOAD, 15.0, "500 internal_error", False, ""),
        (UPLOAD, 30.2, f"500 {FAILED}", False, "sandbox killed"),
        (UPLOAD, 32.0, f"500 {FAILED}", False, ""),
    ],
)
def test_only_what_was_wrong_just_then_explains_a_failure(
    case: Case, began: float, code: str, warm: bool, expected: str
) -> None:
    attempt = Attempt(case, began, began + 0.5, code, "r", Finding("failed", code))
    assert cause(attempt, SPANS, [Kill("s", 30.0, 0)], {"r"} if warm else set()) == expected


def report(sandbox: str, status: str = "success", *, cold: bool = False, request_id: str = "r") -> Report:
    init_ms = 100.0 if cold else None
    return Report(
        request_id=request_id,
        function="f",
        sandbox=sandbox,
        status=status,
        duration_ms=1.0,
        init_ms=init_ms,
        memory_mb=100,
        max_memory_mb=50,
    )


def test_a_process_that_ends_without_our_doing_is_lost() -> None:
    crash, timeout, restart = report("a", "crash"), report("b", "timeout"), report("c", cold=True)
    reports = [report("a", cold=True), report("c", cold=True), crash, report("a", cold=True), timeout, restart]
    assert lost(reports, []) == [crash, timeout, restart]
    assert lost(reports, [Kill("a", 0.0, 1), Kill("b", 0.0, 2), Kill("c", 0.0, 3)]) == []
    assert lost(reports, [Kill("a", 0.0, 4)]) == [crash, timeout, restart]


def test_a_sandbox_is_warm_from_its_first_answer_to_its_processs_end() -> None:
    reports = [
        report("a", cold=True, request_id="1"),
        report("a", request_id="2"),
        report("a", request_id="3"),
        report("b", cold=True, request_id="4"),
        report("a", "crash", request_id="5"),
        report("a", cold=True, request_id="6"),
        report("a", request_id="7"),
    ]
    assert warm_requests(reports, {"2", "6"}, []) == {"3", "7"}
    assert warm_requests(reports, {"2", "6"}, [Kill("a", 0.0, 6)]) == {"3"}
