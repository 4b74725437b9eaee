"""Size and seconds of `serverless package`: ours against the stock plugin (`zip: true, slim: true`).

Both start with wheels in pip's cache and nothing else prepared, in folders of their own, with the same requirements.
Beside the clock's seconds stand the processor's, which a busy machine changes little.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.launch import PROJECT
from tools.benchmarks.result import Options, Result, median, ratio
from tools.benchmarks.stock import FUNCTIONS, tool_python

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UNZIPPED_LIMIT = 262_144_000
_STOCK_YML = """\
service: stock
provider: {name: aws, runtime: python3.13}
plugins: [serverless-python-requirements]
custom: {pythonRequirements: {zip: true, slim: true, pythonBin: PYTHON, cacheLocation: CACHE}}
package: {patterns: ["!**", stock.py]}
functions: {classify: {handler: stock.classify}}
"""


@dataclass(frozen=True, slots=True)
class Built:
    """One run: seconds by the clock and of the processor, bytes of the zip and of what it holds."""

    wall_s: float
    cpu_s: float
    zipped: int
    unzipped: int


def run(options: Options) -> Result:
    """Ours is built before and after the stock package: what the machine does meanwhile meets both."""
    folder = options.work / "package"
    shutil.rmtree(folder, ignore_errors=True)
    ours, theirs = _our_project(folder / "ours"), _stock_project(folder / "stock", options.work)
    stock: list[Built] = []
    if options.quick:
        built = [_build_ours(ours, options.work)]
    else:
        _build_ours(ours, options.work)  # fills pip's cache
        built = [_build_ours(ours, options.work)]
        stock.append(_build(theirs, options.work, {}))
        built.append(_build_ours(ours, options.work))
    medians = {f"ours_{what}": value for what, value in _medians(built).items()}
    medians |= {f"stock_{what}": value for what, value in _medians(stock).items()} if stock else {}
    report = json.loads((ours / "build" / "package-report.json").read_text())
    medians |= {f"ours_stage_{stage}_seconds": seconds for stage, seconds in report["seconds"].items()}
    names = {"seconds": "package_seconds_over_stock", "cpu_seconds": "package_cpu_seconds_over_stock"}
    names |= {"unzipped_bytes": "unzipped_over_stock", "zipped_bytes": "zipped_over_stock"}
    ratios = {name: ratio(medians[f"ours_{what}"], medians[f"stock_{what}"]) for what, name in names.items() if stock}
    medians |= carried(report)
    ratios["unzipped_over_limit"] = ratio(medians["ours_unzipped_bytes"], UNZIPPED_LIMIT)
    notes = ["level quick, wheels cached"] + (["--quick: the stock plugin takes ten minutes: left out"] * (not stock))
    return Result(name="package", runs=len(built), medians=medians, ratios=ratios, notes=notes)


def carried(report: Mapping[str, Any]) -> dict[str, float]:
    """Bytes that travel: up at a deployment, the first and each later one, and down into a sandbox, without and with
    TensorFlow."""
    package, apart = report["package_bytes"], report["pack"]["bytes"] if report["pack"]["apart"] else 0
    return {
        "ours_first_deployment_bytes": package + apart,
        "ours_next_deployment_bytes": package,
        "ours_sandbox_fetches_bytes": package,
        "ours_sandbox_fetches_with_tensorflow_bytes": package + apart,
    }


def _medians(built: list[Built]) -> dict[str, float]:
    return {
        "seconds": median(one.wall_s for one in built),
        "cpu_seconds": median(one.cpu_s for one in built),
        "zipped_bytes": median(one.zipped for one in built),
        "unzipped_bytes": median(one.unzipped for one in built),
    }


def _our_project(folder: Path) -> Path:
    """The committed files, as a fresh clone has them."""
    folder.mkdir(parents=True)
    done = subprocess.run(["git", "archive", "HEAD"], cwd=PROJECT, capture_output=True, check=True)
    archive = folder / "source.tar"
    archive.write_bytes(done.stdout)
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    archive.unlink()
    (folder / "node_modules").symlink_to(PROJECT / "node_modules")
    return folder


def _stock_project(folder: Path, work: Path) -> Path:
    """A service as the plugin's README makes it."""
    folder.mkdir(parents=True)
    text = _STOCK_YML.replace("PYTHON", str(tool_python(work))).replace("CACHE", str(work / "pip-cache"))
    (folder / "serverless.yml").write_text(text)
    shutil.copy(PROJECT / "requirements.txt", folder)
    shutil.copy(FUNCTIONS / "stock.py", folder)
    (folder / "node_modules").symlink_to(PROJECT / "node_modules")
    return folder


def _build_ours(project: Path, work: Path) -> Built:
    """`scripts/package` without what an earlier run left, but with the tools that it made itself."""
    shutil.rmtree(project / "build" / "cache", ignore_errors=True)
    return _build(project, work, {"PACK_LEVEL": "quick", "PACK_PYTHON": sys.executable})


def _build(project: Path, work: Path, extra: Mapping[str, str]) -> Built:
    shutil.rmtree(project / ".serverless", ignore_errors=True)
    cache = work / "home" / ".cache" / "serverless-python-requirements"
    for installed in [*cache.glob("*_slspyc"), *(work / "pip-cache").glob("*_slspyc")]:
        if not installed.name.startswith("downloadCache"):
            shutil.rmtree(installed)
    keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "SLS_TELEMETRY_DISABLED": "1"}
    environment = {**os.environ, **keys, "XDG_CACHE_HOME": str(work / "home" / ".cache"), **extra}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = ["npx", "serverless", "package"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Built(wall, cpu, *_sizes(next((project / ".serverless").glob("*.zip"))))


def _sizes(package: Path) -> tuple[int, int]:
    with zipfile.ZipFile(package) as archive:
        return package.stat().st_size, sum(entry.file_size for entry in archive.infolist())
