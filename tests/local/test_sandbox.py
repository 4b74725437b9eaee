"""The local Lambda behaves as Lambda does: one event at a time, frozen between, honest about time-outs and crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

import local.sandbox
from local.cloud import Config, InvocationError, LocalLambda
from local.function import Function
from local.launch import PROJECT, Code
from local.pool import EventTooLargeError, ThrottledError

if TYPE_CHECKING:
    from collections.abc import Callable

    StartCloud = Callable[[Config], LocalLambda]

pytestmark = pytest.mark.lambda_
GONE = {"", "Z"}
HANDLERS = PROJECT / "tests" / "support" / "handlers"


def config(timeout_s: float = 20, handler: str = "tiny.handle", **settings: Any) -> Config:
    function = Function(name="tiny", handler=handler, timeout_s=timeout_s, environment={"GREETING": "hello"})
    settings.setdefault("code", Code(python_path=(HANDLERS,)))
    settings.setdefault("strict", True)
    return Config(functions=(function,), **settings)


def look(cloud: LocalLambda) -> dict[str, Any]:
    return cast("dict[str, Any]", cloud.invoke({"do": "look"}))


def state(pid: int | None) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def test_a_warm_sandbox_is_used_again_and_only_the_first_report_has_an_init(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config())
    first, second = look(cloud), look(cloud)
    assert (first["pid"], first["calls"], second["calls"]) == (second["pid"], 1, 2)
    cold, warm = cloud.reports
    assert cold.init_ms is not None
    assert warm.init_ms is None
    assert str(warm).startswith(f"REPORT RequestId: {warm.request_id}\tDuration: ")
    assert cold.billed_ms > cold.init_ms
    assert 5 < warm.max_memory_mb < 200


def test_a_sandbox_that_was_started_ahead_waits_for_its_first_event(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config())
    cloud.start_ahead()
    (ahead,) = cloud.sandboxes
    assert ahead.idle
    first = look(cloud)
    assert (first["pid"], first["calls"]) == (ahead.pid, 1)
    assert [report.init_ms for report in cloud.reports] == [None]


def test_the_handler_sees_lambdas_environment_and_nothing_of_ours(start_cloud: StartCloud) -> None:
    os.environ["LEFT_IN_OUR_SHELL"] = "1"
    seen = look(start_cloud(config(timeout_s=7)))
    assert "LEFT_IN_OUR_SHELL" not in seen["environ"]
    assert seen["environ"]["GREETING"] == "hello"
    assert seen["environ"]["AWS_LAMBDA_FUNCTION_NAME"] == "tiny"
    assert seen["environ"]["AWS_ENDPOINT_URL_S3"].startswith("http://127.0.0.1:")
    assert 0 < seen["remaining_ms"] <= 7000


def test_a_burst_starts_more_sandboxes_up_to_the_limit(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config(concurrency=3))
    with ThreadPoolExecutor(3) as clients:
        list(clients.map(cloud.invoke, [{"do": "sleep", "seconds": 1}] * 3))
        assert len({sandbox.pid for sandbox in cloud.sandboxes}) == 3
        busy = [clients.submit(cloud.invoke, {"do": "sleep", "seconds": 2}) for _ in range(3)]
        while any(sandbox.idle for sandbox in cloud.sandboxes):
            time.sleep(0.01)
        with pytest.raises(ThrottledError):
            cloud.invoke({})
        assert [one.result() for one in busy] == [{"do": "sleep", "seconds": 2}] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_idle_sandbox_is_frozen(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config())
    look(cloud)
    limit = time.monotonic() + 10
    while state(cloud.sandboxes[0].pid) != "T":  # at its quota's end a process takes the signal a moment later
        assert time.monotonic() < limit
        time.sleep(0.01)
    awake = start_cloud(config(freeze=False))
    look(awake)
    assert state(awake.sandboxes[0].pid) != "T"


def test_a_time_out_is_reported_and_the_next_event_starts_a_process_in_the_same_folder(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config(timeout_s=1))
    with pytest.raises(InvocationError, match=r"Sandbox\.Timedout: RequestId: .* Error: Task timed out after 1\.00 s"):
        cloud.invoke({"do": "sleep", "seconds": 60})
    assert [report.status for report in cloud.reports] == ["timeout"]
    assert look(cloud)["tmp"] == ["slept"]


@pytest.mark.parametrize(
    ("event", "kind", "status"),
    [
        ({"do": "exit"}, r"Runtime\.ExitError: RequestId: .* Error: Runtime exited with error: exit status 3", "crash"),
        ({"do": "fail"}, "ValueError: as asked", "error"),
        ({"do": "large", "bytes": 6_291_560}, r"Function\.ResponseSizeTooLarge: .* maximum allowed", "error"),
    ],
)
def test_a_failure_is_reported_and_the_next_event_is_served(
    start_cloud: StartCloud, event: dict[str, Any], kind: str, status: str
) -> None:
    cloud = start_cloud(config())
    with pytest.raises(InvocationError, match=kind):
        cloud.invoke(event)
    assert look(cloud)["calls"] >= 1
    assert [report.status for report in cloud.reports] == [status, "success"]


def test_a_reply_at_the_limit_passes(start_cloud: StartCloud) -> None:
    reply = start_cloud(config()).invoke({"do": "large", "bytes": 6_291_556 - len('{"text": ""}')})
    assert len(cast("dict[str, str]", reply)["text"]) == 6_291_556 - len('{"text": ""}')


def test_an_event_over_the_limit_is_refused(start_cloud: StartCloud) -> None:
    with pytest.raises(EventTooLargeError):
        start_cloud(config()).invoke({"text": "x" * (6 << 20)})


def test_a_process_killed_from_outside_is_replaced(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config())
    pid = look(cloud)["pid"]
    os.kill(pid, signal.SIGKILL)
    while cloud.sandboxes[0].pid == pid:
        time.sleep(0.01)
    assert look(cloud)["pid"] != pid


def test_a_start_that_takes_too_long_is_made_again_within_the_invocation(
    start_cloud: StartCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local.sandbox, "INIT_LIMIT_S", 0.001)
    cloud = start_cloud(config())
    assert cloud.invoke({"text": "a"}) == {"text": "a"}
    assert [report.status for report in cloud.reports] == ["success"]
    assert any("Phase: init\tStatus: timeout" in line for line in cloud.log)


def test_a_handler_that_cannot_be_imported_fails_with_its_own_error(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config(handler="missing.handle"))
    with pytest.raises(InvocationError, match=r"Runtime\.ImportModuleError: Unable to import module 'missing'"):
        cloud.invoke({})


def test_stopped_sandboxes_are_replaced_by_fresh_ones(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config())
    cloud.invoke({"do": "sleep", "seconds": 0})
    before, folder = look(cloud), cloud.sandboxes[0].tmp
    cloud.stop_sandboxes()
    assert (cloud.sandboxes, folder.exists()) == ((), False)
    after = look(cloud)
    assert (before["tmp"], after["tmp"]) == (["slept"], [])
    assert before["pid"] != after["pid"]


def test_what_the_handler_prints_is_in_the_log(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config())
    cloud.invoke({"do": "say", "text": "a line of the handler's"})
    cloud.stop_sandboxes()
    while "a line of the handler's" not in cloud.log:
        time.sleep(0.01)


def test_an_isolated_package_sees_itself_and_lambdas_runtime_only(start_cloud: StartCloud, tmp_path: Path) -> None:
    (tmp_path / "tiny.py").write_text((HANDLERS / "tiny.py").read_text())
    (tmp_path / "probe.py").write_text(
        "import importlib.util as u\n"
        "def handle(event, context):\n"
        "    return [name for name in event if u.find_spec(name)]\n"
    )
    cloud = start_cloud(config(handler="probe.handle", code=Code(root=tmp_path, isolated=True)))
    names = ["tiny", "boto3", "urllib3", "awslambdaric", "numpy", "PIL", "pytest", "classifier", "local"]
    assert cloud.invoke(names) == ["tiny", "boto3", "urllib3", "awslambdaric"]


def test_the_portable_runtime_client_does_what_the_c_one_does(start_cloud: StartCloud) -> None:
    portable = PROJECT / "local" / "portable"
    cloud = start_cloud(config(code=Code(python_path=(HANDLERS, portable)), strict=False))
    assert [path for path in look(cloud)["path"] if path.endswith("portable")] == [str(portable)]
    with pytest.raises(InvocationError, match="ValueError: as asked"):
        cloud.invoke({"do": "fail"})
    assert cloud.invoke({"text": "é"}) == {"text": "é"}


def test_boto3s_lambda_client_can_invoke(start_cloud: StartCloud) -> None:
    import boto3

    cloud = start_cloud(config())
    client = boto3.client(
        "lambda",
        endpoint_url=cloud.lambda_endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    reply = client.invoke(FunctionName="tiny", Payload=b'{"a": 1}')
    assert (reply["StatusCode"], json.load(reply["Payload"])) == (200, {"a": 1})
    failed = client.invoke(FunctionName="tiny", Payload=b'{"do": "fail"}')
    assert (failed["FunctionError"], json.load(failed["Payload"])["errorMessage"]) == ("Unhandled", "as asked")
    assert client.invoke(FunctionName="tiny", Payload=b"{}", InvocationType="Event")["StatusCode"] == 202
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName="other", Payload=b"{}")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_local_lambda_leaves_no_process_and_no_folder(how: signal.Signals) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from local.cloud import Config, LocalLambda\n"
        "from local.function import Function\n"
        "from local.launch import Code\n"
        f"code = Code(python_path=(Path({str(HANDLERS)!r}),))\n"
        "with LocalLambda(Config(functions=(Function(name='tiny', handler='tiny.handle'),), code=code)) as cloud:\n"
        "    print(cloud.invoke({'do': 'look'})['pid'], cloud.sandboxes[0].tmp, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid, tmp = process.stdout.readline().split()
        assert Path(tmp).exists()
        process.send_signal(how)
    limit = time.monotonic() + 20
    root = Path(tmp).parent.parent
    while (state(int(pid)) not in GONE or root.exists()) and time.monotonic() < limit:
        time.sleep(0.01)
    assert state(int(pid)) in GONE
    assert not root.exists()
