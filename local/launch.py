"""How a sandbox's process is started: which Python, which folders it may import from, which environment."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local.account import REGION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.function import Function

REPLACED = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - this machine's
"""What a confined sandbox has of its own: what lies there outside is not seen inside."""
PROJECT = Path(__file__).resolve().parent.parent
_PROVIDED = (
    *("awslambdaric", "runtime_client*.so", "snapshot_restore_py", "simplejson"),
    *("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"),
)
"""What Lambda's Python runtime brings along, as it lies in site-packages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The code that is run: the source tree, or with `isolated` an unpacked package and nothing else.

    `python_path` comes after `root`. `wrap` is put before the command: `("taskset", "-c", "0")` for one core.
    """

    root: Path = PROJECT
    isolated: bool = False
    python_path: tuple[Path, ...] = ()
    python: Path = field(default_factory=lambda: Path(sys.executable))
    wrap: tuple[str, ...] = ()

    def command(self, handler: str) -> list[str]:
        """Return the command line of one sandbox. `-S` keeps the development environment's packages out."""
        flags = ["-S"] if self.isolated else []
        return [*self.wrap, str(self.python), *flags, "-m", "awslambdaric", handler]


def provide_runtime(folder: Path) -> Path:
    """Fill `folder` with links to what Lambda's Python runtime brings along: its client and boto3."""
    import awslambdaric

    site = Path(awslambdaric.__file__).parent.parent
    folder.mkdir()
    for pattern in _PROVIDED:
        for found in site.glob(pattern):
            _place(found, folder / found.name)
    return folder


def _place(found: Path, target: Path) -> None:
    """A link, or the files themselves where a confined sandbox would not see what the link leads to."""
    if not any(found.is_relative_to(hidden) for hidden in REPLACED):
        target.symlink_to(found)
    elif found.is_dir():
        shutil.copytree(found, target)
    else:
        shutil.copyfile(found, target)


@dataclass(frozen=True, slots=True)
class Places:
    """A sandbox's folders, as its process sees them."""

    code: Path
    runtime: Path
    tmp: Path
    python_path: tuple[Path, ...]


def environment(function: Function, places: Places, *, api: str, log_stream: str, isolated: bool) -> dict[str, str]:
    """Return a sandbox's whole environment: Lambda's own variables and the function's, nothing of ours.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    paths = [*places.python_path, *_shims()]
    if isolated:
        paths.append(places.runtime)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "HOME": str(places.tmp),
        "TMPDIR": str(places.tmp),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "LAMBDA_TASK_ROOT": str(places.code),
        "LAMBDA_RUNTIME_DIR": str(places.runtime),
        "_HANDLER": function.handler,
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        **credentials(),
        **({"PYTHONDONTWRITEBYTECODE": "1"} if isolated else {}),
        **function.environment,
    }


def credentials() -> Mapping[str, str]:
    """Return the key that moto's server takes: any will do."""
    return {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_SESSION_TOKEN": "testing"}


def _shims() -> list[Path]:
    # The runtime client's C part is built for Linux only; elsewhere a module of the same name takes its place.
    return [] if sys.platform == "linux" else [Path(__file__).parent / "portable"]
