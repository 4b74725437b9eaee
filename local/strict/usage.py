"""What a process group uses, as Linux's /proc counts it."""

from __future__ import annotations

import os
import time
from contextlib import suppress

_PAGE = os.sysconf("SC_PAGE_SIZE")


def members(group: int) -> tuple[int, ...]:
    """The processes of a group."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208  (a hundred times a second: names will do)
        if name.isdecimal():
            with suppress(OSError), open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123
                if int(file.read().rpartition(")")[2].split()[2]) == group:
                    found.append(int(name))
    return tuple(found)


def resident_bytes(pids: tuple[int, ...], limit: int) -> int:
    """Resident memory of the processes together.

    Pages that they share (a fork's) count once: that takes Linux milliseconds to find out, so it is asked only when
    the plain sum is over `limit`.
    """
    total = sum(_resident(pid) for pid in pids)
    return sum(_proportional(pid) for pid in pids) if total > limit and len(pids) > 1 else total


def cpu_seconds(pids: tuple[int, ...]) -> float:
    """CPU time that the processes have taken, those that ended not counted."""
    total = 0.0
    for pid in pids:
        with suppress(OSError):
            total += time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3), which Python has for itself only
    return total


def _resident(pid: int) -> int:
    with suppress(OSError), open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * _PAGE
    return 0


def _proportional(pid: int) -> int:
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:  # noqa: PTH123
        return next((int(line.split()[1]) << 10 for line in file if line.startswith("Pss:")), 0)
    return 0
