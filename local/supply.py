"""What `npm start` installs only when something needs it: TensorFlow to compile a model, the framework to read."""

from __future__ import annotations

import subprocess
import sys
from importlib import invalidate_caches
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING

from local.launch import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

MISSING = "No module named 'tensorflow'"
"""What a sandbox's error says then."""
LOADING = ("publish", "verify", "export")
"""The verbs of `scripts/models` that load a model with Keras."""
_installing = Lock()


class SupplyError(Exception):
    """TensorFlow could not be installed; the installer has said why."""


def is_there() -> bool:
    """Whether this Python could import TensorFlow; it is not imported."""
    invalidate_caches()
    return find_spec("tensorflow") is not None


def needed_by(arguments: Sequence[str]) -> bool:
    """Whether `scripts/models`, called with these arguments, loads a model."""
    return arguments[:1] != [] and arguments[0] in LOADING and not {"-h", "--help"} & set(arguments)


def install(reason: str, *, to: TextIO | None = None) -> None:
    """Install what is missing, once, saying why; SupplyError if that fails. What comes second waits for the first."""
    with _installing:
        if is_there():
            return
        print(f"{reason} TensorFlow is needed for that, and is installed now.", file=to, flush=True)
        if not _installed("setup") or not is_there():
            raise SupplyError("TensorFlow could not be installed, so this model can't be compiled or served.")


def install_framework(reason: str) -> None:
    """Install the Serverless Framework, saying why; SupplyError if that fails."""
    print(f"{reason} The Serverless Framework reads it, and is installed now.", file=sys.stderr, flush=True)
    if not _installed("framework"):
        raise SupplyError("the Serverless Framework could not be installed")


def _installed(verb: str) -> bool:
    """Whether npm's installer could: it knows the registries, the versions and the progress to show."""
    command = ["node", "scripts/dev.mjs", verb]
    return subprocess.run(command, cwd=PROJECT, stdout=sys.stderr, check=False).returncode == 0
