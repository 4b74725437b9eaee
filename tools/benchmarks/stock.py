"""The stock layout: what serverless-python-requirements makes with `zip: true, slim: true`, and the usual handler.

The plugin itself takes ten minutes (package.py measures it); here the same layout is made in two: the same files,
stripped and left out by the same rules, deflated at the same level, unzipped by the plugin's own helper.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from local.launch import PROJECT

PLUGIN = PROJECT / "node_modules" / "serverless-python-requirements"
HELPER = PLUGIN / "unzip_requirements.py"
FUNCTIONS = Path(__file__).parent / "functions"
UNPACKED = Path("/tmp/sls-py-req")  # noqa: S108 - the helper's own constant: this layout has no other place
_PARTIAL = Path("/tmp/_temp-sls-py-req")  # noqa: S108
NEEDED = ("tensorflow-cpu", "pillow")
"""What the usual handler imports; the versions are those of requirements.txt."""


def layout(work: Path) -> Path:
    """The folder of the stock layout, built when it is not there yet."""
    folder = work / "stock"
    archive = folder / ".requirements.zip"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        installed = work / "stock-installed"
        _install(installed, work)
        _slim(installed)
        _zip(installed, archive)
        shutil.rmtree(installed)
    shutil.copy(HELPER, folder)
    shutil.copy(FUNCTIONS / "stock.py", folder)
    return folder


def forget_unpacked() -> None:
    """Make the next start of the stock layout a cold one: its helper unzips to one fixed folder."""
    shutil.rmtree(UNPACKED, ignore_errors=True)
    shutil.rmtree(_PARTIAL, ignore_errors=True)


def pins() -> list[str]:
    """The usual handler's requirements, with the versions that we use."""
    text = (PROJECT / "requirements.txt").read_text()
    found = [re.search(rf"^{name}==\S+", text, re.MULTILINE) for name in NEEDED]
    return [match.group() for match in found if match]


def tool_python(work: Path) -> Path:
    """A Python that has pip."""
    python = work / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(work / "venv")], check=True)
    return python


def _install(target: Path, work: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run([tool_python(work), "-m", "pip", "install", "-q", "--target", target, *pins()], check=True)


def _slim(folder: Path) -> None:
    """The plugin's lib/slim.js: `strip` for `*.so`, and no bytecode and no metadata."""
    for library in folder.rglob("*.so"):
        subprocess.run(["strip", library], capture_output=True, check=False)
    for pattern in ("*.pyc", "*.pyo", "__pycache__", "*.dist-info"):
        for found in list(folder.rglob(pattern)):
            shutil.rmtree(found, ignore_errors=True) if found.is_dir() else found.unlink(missing_ok=True)


def _zip(folder: Path, target: Path) -> None:
    partial = target.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    partial.replace(target)
