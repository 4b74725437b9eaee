"""Checks the built package: its sizes against Lambda's limits, then that it works where nothing else is.

The latter only on a machine that can load the package's libraries; on any other it says that it did not, and why.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from classifier.bootstrap.dependencies import PACK_NAME
from tools.packaging.packer import zipping

UNZIPPED_LIMIT = 262_144_000
"""https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, as the next one"""

DIRECT_UPLOAD_LIMIT = 50 * 1024 * 1024
"""Above it the package goes through S3, which is what the framework always does."""

DEMO = Path(__file__).resolve().parents[3] / "examples" / "clothing"
_INSIDE = Path(__file__).with_name("inside.py")
_TIMEOUT_S = 300


class PackageError(RuntimeError):
    """The package is over a limit or does not work; the text says what and by how much."""


def sizes(package: Path, *, tmp_bytes: int, ephemeral_mb: int, limit: int = UNZIPPED_LIMIT) -> None:
    """Raise PackageError, naming the ten largest parts, when the package is over a limit of Lambda."""
    parts = zipping.parts(package)
    total = sum(parts.values())
    largest = "".join(f"\n  {size:>12,} {name}" for name, size in parts.most_common(10))
    if total > limit:
        raise PackageError(f"unzipped, the package has {total:,} bytes: {total - limit:,} over {limit:,}{largest}")
    if tmp_bytes > ephemeral_mb << 20:
        raise PackageError(
            f"the pack needs {tmp_bytes:,} bytes of /tmp, ephemeralStorageSize gives {ephemeral_mb << 20:,}: "
            f"set it to at least {(tmp_bytes >> 20) + 64} for every function that may load TensorFlow"
        )


def run(package: Path, pack: Path, machine: str) -> dict[str, Any]:
    """Use the package if this machine can; else say that it was not tried and why. Raises PackageError."""
    obstacle = obstacle_to(machine)
    if obstacle is None:
        return use(package, pack)
    print(f"  NOT CHECKED whether the package works: {obstacle}. Its sizes were.", flush=True)
    return {"skipped": obstacle}


def obstacle_to(machine: str) -> str | None:
    """Why libraries for Lambda's Linux on `machine` can't be loaded here; None when they can."""
    if sys.platform != "linux":
        return f"this is {platform.system()}, and the package's libraries are Linux's"
    if platform.machine() != machine:
        return f"this is {platform.machine()}, and the package's libraries are for {machine}"
    if platform.libc_ver()[0] != "glibc":
        return "this Linux has no glibc, which the package's libraries need"
    return None


def use(package: Path, pack: Path, demo: Path = DEMO) -> dict[str, Any]:
    """Unzip the package into an empty folder and serve the bundle `demo` there, in a process that sees nothing else.

    `pack` takes the place of the package's own, which may be an index only. Returns what inside.py printed. Raises
    PackageError with the process's last words.
    """
    with tempfile.TemporaryDirectory(prefix="package-check-") as scratch:
        root, tmp = Path(scratch, "task"), Path(scratch, "tmp")
        tmp.mkdir()
        with zipfile.ZipFile(package) as archive:
            archive.extractall(root)
        shutil.copyfile(pack, root / PACK_NAME)
        environment = {"PATH": os.defpath, "TMPDIR": str(tmp), "HOME": str(tmp), "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment["LD_BIND_NOW"] = "1"  # every library finds all its symbols at once, or the import fails
        command = [sys.executable, "-I", "-S", "-B", str(_INSIDE), str(root), str(demo)]
        done = subprocess.run(command, env=environment, cwd=tmp, capture_output=True, text=True, timeout=_TIMEOUT_S)
    if done.returncode:
        raise PackageError(f"the package does not work:\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
