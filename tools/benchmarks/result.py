"""What a benchmark says: one JSON object, dated, with commit and hardware."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.launch import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a benchmark is run. `cores` limits the measured processes; None leaves them all."""

    quick: bool = False
    runs: int | None = None
    cores: int | None = None
    package: Path | None = None
    """The built package, zip or folder; None measures the source tree."""
    stock: Path | None = None
    """A folder with the stock plugin's layout; None builds one in `work`."""
    only: str | None = None
    pictures: Path | None = None
    """A folder of pictures, in a folder a label; None takes the demo's samples."""
    work: Path = PROJECT / "build" / "bench"

    def count(self, usual: int, quick: int = 1) -> int:
        """How often something is measured."""
        return self.runs or (quick if self.quick else usual)

    @property
    def wrap(self) -> tuple[str, ...]:
        """What is put before the command of a measured process."""
        return ("taskset", "-c", f"0-{self.cores - 1}") if self.cores else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Medians in milliseconds, MB, bytes, seconds or dollars, as the names end; ratios have no unit."""

    name: str
    runs: int
    medians: dict[str, float]
    ratios: dict[str, float]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The object that `scripts/bench` writes."""
        found = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(), "hardware": hardware()}
        return {"name": self.name, **found, **asdict(self)}


def commit() -> str:
    """The commit that was measured, with `-dirty` when tracked files differ from it."""
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def hardware() -> dict[str, str | int | float]:
    """Processor, cores, memory, and how busy the machine was: above one a core, look at ratios only."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": os.process_cpu_count() or 1,
        "memory_mb": pages >> 20,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def median(values: Iterable[float]) -> float:
    """The median, rounded to what is worth printing."""
    return round(statistics.median(values), 3)


def percentile(values: Iterable[float], percent: int) -> float:
    """The smallest value that at least `percent` of all are not above (nearest rank)."""
    ordered = sorted(values)
    return round(ordered[max(0, -(-len(ordered) * percent // 100) - 1)], 3)


def ratio(one: float, other: float) -> float:
    """How many times `other` is `one`."""
    return round(one / other, 5)
