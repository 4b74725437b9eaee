"""One sandbox's confinement: its rooms, its control group, and what of Lambda's limits this system can't imitate."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from local.launch import REPLACED, Places
from local.strict.cgroup import ControlGroup
from local.strict.limits import MAX_FILES, MAX_TASKS
from local.strict.warden import Warden

if TYPE_CHECKING:
    from local.function import Function
    from local.launch import Code

_ENTER = Path(__file__).with_name("enter.py")
_LINUX = os.uname().sysname == "Linux"
_INTERPRETER = Path("/var/python")
"""Where a sandbox finds an environment of Python that it would not see, as that of a checkout in /tmp."""


class Confinement:
    """Holds for as long as its sandbox, over any number of processes: what one leaves in /tmp the next one finds."""

    def __init__(self, folder: Path, function: Function, code: Code, outside: Places) -> None:
        self._folder, self._function, self._code = folder, function, code
        self.places = outside
        self.missing: list[str] = []
        self._keeper: subprocess.Popen[str] | None = None
        self._control = ControlGroup()
        self._python = str(code.python)
        if not _LINUX:
            self.missing.append("memory, CPU, read-only folders, /tmp's size, processes: they take Linux")
            return
        self._control = ControlGroup.make(f"{folder.parent.name}-{folder.name}")
        (folder / "groups").write_text("".join(f"{path}\n" for path in set(self._control.folders.values())))
        self._keeper = self._open_rooms(outside)
        if "pids" not in self._control.folders and (self._keeper is None or os.getuid() == 0):
            self.missing.append("1,024 processes and threads: no control group may be made here")

    def wrap(self, command: list[str]) -> list[str]:
        """The command line that enters first."""
        spec = {
            "doors": self._control.doors,
            "keeper": self._keeper.pid if self._keeper else None,
            "files": MAX_FILES,
            "tasks": MAX_TASKS,
            "folder": str(self.places.code),
        }
        inside = [self._python if part == str(self._code.python) else part for part in command]
        return [str(self._code.python), "-I", "-S", str(_ENTER), "run", json.dumps(spec), *inside]

    def watch(self, group: int) -> Warden | None:
        """Watch a process group that was started so; None where it can't be watched."""
        return Warden(group, self._function.memory_mb, self._control) if _LINUX else None

    def close(self) -> None:
        """Let go of the rooms and the control group; the processes have ended."""
        if self._keeper is not None:
            self._keeper.communicate()
        self._control.remove()

    def _moved_python(self) -> list[list[str]]:
        """The bind that makes the interpreter visible inside, if its own place is not."""
        environment, name = self._code.python.parent.parent, self._code.python.name
        if not any(environment.is_relative_to(hidden) for hidden in REPLACED):
            return []
        self._python = str(_INTERPRETER / "bin" / name)
        return [[str(environment), str(_INTERPRETER)]]

    def _open_rooms(self, outside: Places) -> subprocess.Popen[str] | None:
        inside = Places(
            code=Path("/var/task"),
            runtime=Path("/var/runtime"),
            tmp=Path("/tmp"),  # noqa: S108 - the sandbox's own
            python_path=tuple(Path(f"/var/layer-{number}") for number in range(len(outside.python_path))),
        )
        pairs = zip(
            (outside.code, outside.runtime, *outside.python_path),
            (inside.code, inside.runtime, *inside.python_path),
            strict=True,
        )
        root = self._folder / "rooms"
        root.mkdir()
        spec = {
            "root": str(root),
            "tmp_mb": self._function.tmp_mb,
            "binds": [*([str(source), str(target)] for source, target in pairs), *self._moved_python()],
        }
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_ENTER), "keep", json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert keeper.stdout is not None
        answer = keeper.stdout.readline().strip()
        if answer == "ready":
            self.places = inside
            return keeper
        keeper.communicate()
        self._python = str(self._code.python)
        self.missing.append(f"read-only folders, /tmp's size, no /dev/shm: this system allows no namespace ({answer})")
        return None
