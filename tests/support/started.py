"""`npm start` without npm (tests/local/test_tools.py runs that): the local Lambda as a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING

from local.launch import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def started(*arguments: str, folder: Path = PROJECT) -> Iterator[None]:
    """A service that was started in `folder` and says that it is ready; stopped at the end."""
    command = [sys.executable, "-m", "local", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            said = [""]
            for line in process.stdout:
                said.append(line)
                if line.startswith("Ready: "):
                    break
            assert said[-1].startswith("Ready: "), "".join(said)
            Thread(target=process.stdout.read, daemon=True).start()  # or it waits as soon as the pipe is full
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
