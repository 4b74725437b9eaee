"""A strict local Lambda forbids what Lambda forbids: each limit is met from just inside and from just outside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from local.cloud import Config, InvocationError, LocalLambda
from local.function import Function
from local.launch import PROJECT, Code
from local.strict import confinement
from local.strict.cgroup import ControlGroup
from local.strict.limits import StrictError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.s3 import LocalS3

    StartCloud = Callable[[Config], LocalLambda]

pytestmark = [pytest.mark.lambda_, pytest.mark.skipif(sys.platform != "linux", reason="namespaces and /proc")]
HANDLERS = PROJECT / "tests" / "support" / "handlers"
ENTER = Path(confinement.__file__).with_name("enter.py")


def config(memory_mb: int = 256, **settings: Any) -> Config:
    function = Function(name="strict", handler="confined.handle", memory_mb=memory_mb, timeout_s=300, **settings)
    return Config(functions=(function,), code=Code(python_path=(HANDLERS,)), strict=True)


def ask(cloud: LocalLambda, do: str, **event: Any) -> Any:
    return cast("Any", cloud.invoke({"do": do, **event}))


KILLED = r"Runtime\.ExitError: RequestId: .* Error: Runtime exited with error: signal: killed"


@pytest.mark.parametrize("how", [{"do": "take", "mb": 400, "seconds": 0.2}, {"do": "take_in_a_child", "mb": 400}])
def test_a_sandbox_that_passes_its_memory_is_killed_and_reported(start_cloud: StartCloud, how: dict[str, Any]) -> None:
    cloud = start_cloud(config())
    assert ask(cloud, "take", mb=100) == 100
    with pytest.raises(InvocationError, match=KILLED):
        cloud.invoke(how)
    report = cloud.reports[-1]
    assert (report.status, report.max_memory_mb) == ("crash", 256)
    assert str(report).endswith(
        "Memory Size: 256 MB\tMax Memory Used: 256 MB\tStatus: error\tError Type: Runtime.ExitError"
    )
    assert ask(cloud, "take", mb=100) == 100


def test_pages_that_processes_share_count_once(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config())
    assert ask(cloud, "fork_while_holding", mb=170) == 0
    assert 170 < cloud.reports[-1].max_memory_mb < 256


def test_only_tmp_can_be_written_to_and_the_next_process_finds_it(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config())
    seen = ask(cloud, "look")
    assert seen == {"folder": "/var/task", "tmp": "/tmp", "root": "/var/task", "user": 993}
    paths = [
        "/tmp/a",
        "/var/task/a",
        "/var/runtime/a",
        "/dev/a",
        "/usr/a",
        str(Path(sys.base_prefix) / "a"),
        "/dev/shm/a",
    ]
    refused = dict.fromkeys(paths, "Read-only file system")
    assert ask(cloud, "write", paths=paths) == refused | {
        "/tmp/a": "written",
        "/dev/shm/a": "No such file or directory",
    }
    with pytest.raises(InvocationError, match=KILLED):
        ask(cloud, "take", mb=400)
    assert ask(cloud, "read_tmp") == ["a"]
    cloud.stop_sandboxes()
    assert ask(cloud, "read_tmp") == []


def test_tmp_has_the_size_that_the_function_states(start_cloud: StartCloud) -> None:
    cloud = start_cloud(config(tmp_mb=20))
    assert ask(cloud, "fill", mb=19) == "written"
    assert ask(cloud, "fill", mb=21) == "No space left on device"


@pytest.mark.parametrize(
    ("inside", "outside", "refusal"),
    [
        ({"do": "open", "files": 1000}, {"do": "open", "files": 1024}, "Too many open files"),
        ({"do": "start", "threads": 1000}, {"do": "start", "threads": 1024}, "can't start new thread"),
    ],
)
def test_files_and_threads_have_lambdas_limit(
    start_cloud: StartCloud, inside: dict[str, Any], outside: dict[str, Any], refusal: str
) -> None:
    cloud = start_cloud(config())
    if "threads" in inside and any("processes" in line for line in cloud.log):
        pytest.skip("no control group may be made here")
    assert cloud.invoke(inside) in ("opened", "started")
    assert cloud.invoke(outside) == refusal


def test_multiprocessing_finds_no_shared_memory(start_cloud: StartCloud) -> None:
    assert ask(start_cloud(config()), "lock") == "No such file or directory"


@pytest.mark.parametrize("by_signals", [False, True])
def test_the_cpu_follows_the_memory_except_in_init(
    start_cloud: StartCloud, monkeypatch: pytest.MonkeyPatch, *, by_signals: bool
) -> None:
    if by_signals:
        monkeypatch.setattr(ControlGroup, "limit_cpu", lambda *_: False)
    cloud = start_cloud(config(memory_mb=177))
    init, later = ask(cloud, "init"), ask(cloud, "spin", seconds=2)
    assert later / 2 < 0.2  # a tenth of a core, and what a busy machine adds to it
    assert init / 0.5 > later / 2


def test_an_environment_over_4_kb_is_refused(s3_server: LocalS3) -> None:
    for size, fits in ((4096 - len('{"A":""}'), True), (4097 - len('{"A":""}'), False)):
        cloud = LocalLambda(config(environment={"A": "x" * size}), s3_server)
        try:
            if fits:
                cloud.start()
            else:
                with pytest.raises(StrictError, match="environment variables have 4097 bytes"):
                    cloud.start()
        finally:
            cloud.stop()


def test_what_cannot_be_imitated_is_said(
    start_cloud: StartCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusing = tmp_path / "enter.py"
    refusing.write_text(
        ENTER.read_text().replace("    os.unshare(", "    raise PermissionError(1, 'Not allowed')\n    os.unshare(")
    )
    monkeypatch.setattr(confinement, "_ENTER", refusing)
    cloud = start_cloud(config())
    assert ask(cloud, "take", mb=10) == 10
    assert any("not imitated here: read-only folders, /tmp's size" in line for line in cloud.log)
    with pytest.raises(InvocationError, match=KILLED):
        ask(cloud, "take", mb=400)


def test_a_control_group_of_version_2_is_made_beside_the_own_one(tmp_path: Path) -> None:
    """Of version 1 are this repository's machines; the files' names and words are the kernel's (cgroup-v2.rst)."""
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    own, beside = tmp_path / "own", tmp_path / "user" / "box"
    own.write_text("0::/user/session.scope\n")
    for folder in (beside, tmp_path / "user" / "session.scope"):
        folder.mkdir(parents=True)
    for name in ("cpu.max", "pids.max", "cgroup.procs"):
        (beside / name).touch()
    group = ControlGroup.make("box", tmp_path, own)
    assert group.doors == [str(beside / "cgroup.procs")]
    assert (tmp_path / "user" / "cgroup.subtree_control").read_text() == "+pids"
    written = []
    for cores in (0.5, None):
        assert group.limit_cpu(cores)
        written.append((beside / "cpu.max").read_text())
    assert (written, (beside / "pids.max").read_text()) == (["10000 20000", "max 20000"], "1024")
