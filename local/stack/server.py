"""LocalStack's process: installed apart on first use, started on a free port, stopped with everything it made."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import venv
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from local.aws import LocalAws
from local.launch import PROJECT

HOME = PROJECT / "build" / "localstack"
PINS = (
    *("localstack-core[runtime]==4.7.0", "cbor2==5.6.5", "pyopenssl==25.1.0", "cryptography==45.0.5"),
    *("psutil==6.1.1", "service_identity"),
)
"""Versions that start as a plain process: later ones of the libraries break this one of LocalStack."""
READY_S = 120


class LocalStack(LocalAws):
    """Everything of AWS that LocalStack's open edition has; its S3 tells EventBridge instead of `listeners`."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            super().__init__(free.getsockname()[1])
        self._folder = tempfile.TemporaryDirectory(prefix="localstack-")
        self.sandboxes = Path(self._folder.name) / "sandboxes"
        """The file with the address of the Invoke API that runs the functions."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Install it if it is not there, and wait until it answers. OSError with its log when it does not."""
        log = Path(self._folder.name) / "log"
        own = {
            "GATEWAY_LISTEN": f"127.0.0.1:{self._port}",
            "SANDBOXES": str(self.sandboxes),
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "HOME": self._folder.name,
            "LOCALSTACK_VOLUME": self._folder.name,
            "FILESYSTEM_ROOT": self._folder.name,
        }
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                [str(_python()), str(Path(__file__).with_name("executor.py"))],
                env={"PATH": os.environ["PATH"], **own},
                cwd=self._folder.name,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        until = time.monotonic() + READY_S
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(URLError, OSError), urlopen(f"{self.endpoint}/_localstack/health", timeout=5):  # noqa: S310 - our own
                return
            time.sleep(0.5)
        raise OSError(f"LocalStack did not start:\n{log.read_text()[-3000:]}")

    def stop(self) -> None:
        """End it and all that it started."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._folder.cleanup()


def _python() -> Path:
    python = HOME / "bin" / "python"
    stamp = HOME / PINS[0]
    if not stamp.exists():
        venv.create(HOME, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PINS], check=True)
        stamp.touch()
    return python
