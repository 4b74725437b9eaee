"""Peak memory of a process, as the operating system counts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def peak_mb(pid: int) -> int:
    """Return the largest resident size of a live process in MB (now, not peak, where there is no /proc); 0 if gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0 if sys.platform == "linux" else _resident_mb(pid)
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return -(-int(line.split()[1]) // 1024)


def _resident_mb(pid: int) -> int:
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return -(-int(shown.strip() or 0) // 1024)
