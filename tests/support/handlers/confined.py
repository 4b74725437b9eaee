"""What the strict local Lambda's tests run: each event says which limit to try."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

KEPT: list[bytearray] = []
_HOLD = "import sys, time; kept = b'x' * (int(sys.argv[1]) << 20); time.sleep(30)"


def handle(event: dict[str, Any], _: Any) -> Any:
    """Do what `event["do"]` says."""
    return globals()[f"_{event.pop('do')}"](**event)


def _take(mb: int, seconds: float = 0.0) -> int:
    """Take memory, evenly over the time."""
    for _ in range(mb // 10):
        KEPT.append(bytearray(b"x") * (10 << 20))
        time.sleep(seconds / (mb // 10))
    return mb


def _take_in_a_child(mb: int) -> None:
    subprocess.run([sys.executable, "-c", _HOLD, str(mb)], check=True)


def _fork_while_holding(mb: int) -> int:
    """A fork shares its parent's pages: together they hold what one of them does."""
    _take(mb)
    child = os.fork()
    if not child:
        time.sleep(0.5)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def _write(paths: list[str]) -> dict[str, str]:
    """What comes of writing to each path."""
    found = {}
    for path in paths:
        try:
            Path(path).write_text("x")
            found[path] = "written"
        except OSError as error:
            found[path] = error.strerror or ""
    return found


def _fill(mb: int) -> str:
    try:
        with Path("/tmp/filled").open("wb") as file:
            for _ in range(mb):
                file.write(bytes(1 << 20))
    except OSError as error:
        return error.strerror or ""
    return "written"


def _open(files: int) -> str:
    opened = []
    try:
        for _ in range(files):
            opened.append(os.open("/dev/null", os.O_RDONLY))  # noqa: PERF401 - those opened before the error count
    except OSError as error:
        return error.strerror or ""
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return "opened"


def _start(threads: int) -> str:
    done = threading.Event()
    started = []
    try:
        for _ in range(threads):
            started.append(threading.Thread(target=done.wait, daemon=True))
            started[-1].start()
    except RuntimeError as error:
        return str(error)
    finally:
        done.set()
    return "started"


def _lock() -> str:
    try:
        multiprocessing.Lock()
    except OSError as error:
        return error.strerror or ""
    return "made"


def _spin(seconds: float) -> float:
    """CPU seconds that a busy process gets in so many seconds by the clock."""
    before, end = time.process_time(), time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return time.process_time() - before


INIT = _spin(0.5)


def _init() -> float:
    return INIT


def _look() -> dict[str, Any]:
    return {
        "folder": str(Path.cwd()),
        "tmp": os.environ["TMPDIR"],
        "root": os.environ["LAMBDA_TASK_ROOT"],
        "user": os.getuid(),
    }


def _read_tmp() -> list[str]:
    return sorted(path.name for path in Path("/tmp").iterdir())
