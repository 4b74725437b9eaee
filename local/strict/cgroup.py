"""A control group for one sandbox, where this user may make one: CPU by quota, processes and threads by number.

Version 2 (one tree) and version 1 (a tree for each controller): https://docs.kernel.org/admin-guide/cgroup-v2.html.
What can't be had is left to the warden (CPU) and to setrlimit (processes).
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from local.strict.limits import MAX_TASKS

ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 20_000
_FILES: Final = {True: {"cpu": "cpu.max", "pids": "pids.max"}, False: {"cpu": "cpu.cfs_quota_us", "pids": "pids.max"}}


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """The folders of one sandbox's group by controller; empty where none could be made."""

    folders: dict[str, Path] = field(default_factory=dict)
    unified: bool = False

    @classmethod
    def make(cls, name: str, root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> ControlGroup:
        """Make the group in this process's own, or beside it, where systemd lets a user make groups."""
        unified = (root / "cgroup.controllers").exists()
        paths = dict(_parsed(line) for line in own.read_text().splitlines()) if own.exists() and root.exists() else {}
        trees = {"": ("cpu", "pids")} if unified else {controller: (controller,) for controller in _FILES[False]}
        group = cls({}, unified)
        for tree, controllers in trees.items():
            if tree in paths:
                base = root / tree / paths[tree]
                for parent in (base, base.parent) if base != root / tree else (base,):
                    if found := _made(parent / name, controllers, unified=unified):
                        group.folders.update(found)
                        break
        if folder := group.folders.get("pids"):
            (folder / "pids.max").write_text(str(MAX_TASKS))
        return group

    @property
    def doors(self) -> list[str]:
        """The files that a process writes its number into, to join."""
        return sorted({str(folder / "cgroup.procs") for folder in self.folders.values()})

    def limit_cpu(self, cores: float | None) -> bool:
        """Set the quota, None for no limit; False when this is not the group's to do."""
        folder = self.folders.get("cpu")
        if folder is None:
            return False
        quota = None if cores is None else max(1000, round(cores * _PERIOD_US))
        if self.unified:
            (folder / "cpu.max").write_text(f"{'max' if quota is None else quota} {_PERIOD_US}")
        else:
            (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(-1 if quota is None else quota))
        return True

    def remove(self) -> None:
        """Remove the group, whose processes were killed just now: the kernel takes a moment to let go of them."""
        for folder in set(self.folders.values()):
            for _ in range(50):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.02)
                else:
                    break


def _parsed(line: str) -> tuple[str, str]:
    """One line of /proc/self/cgroup: `4:cpu,cpuacct:/user` or, of version 2, `0::/user`."""
    _, names, path = line.split(":", 2)
    return next((name for name in names.split(",") if name in _FILES[False]), names), path.strip("/")


def _made(folder: Path, controllers: tuple[str, ...], *, unified: bool) -> dict[str, Path]:
    """The controllers that a new group at `folder` has; no group is left when it has none."""
    if unified:
        for controller in controllers:
            with suppress(OSError):  # the parent has processes of its own, or hands this controller to nobody
                (folder.parent / "cgroup.subtree_control").write_text(f"+{controller}")
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return {}
    files = _FILES[unified]
    had = {name: folder for name in controllers if os.access(folder / files[name], os.W_OK)}
    if not had or not os.access(folder / "cgroup.procs", os.W_OK):
        folder.rmdir()
        return {}
    return had
