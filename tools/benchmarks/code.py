"""What code is measured: the built package where there is one, else the source tree."""

from __future__ import annotations

import hashlib
import py_compile
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.bootstrap.dependencies import PACK_NAME
from local.launch import PROJECT, Code

if TYPE_CHECKING:
    from tools.benchmarks.result import Options

FUNCTIONS = Path(__file__).parent / "functions"


def our_code(options: Options) -> Code:
    """Our function's code, and nothing else if it is a package."""
    folder = package_folder(options)
    return Code(root=folder, isolated=True, wrap=options.wrap) if folder else Code(wrap=options.wrap)


def floor_code(options: Options) -> Code:
    """The floor's handler with the very libraries that our function runs on."""
    py_compile.compile(str(FUNCTIONS / "floor.py"))  # a sandbox may not, and ours lies compiled too
    folder = package_folder(options)
    if folder is None:
        return Code(root=FUNCTIONS, wrap=options.wrap)
    return Code(root=FUNCTIONS, isolated=True, python_path=(folder,), wrap=options.wrap)


def described(options: Options) -> str:
    """For the notes: what was measured."""
    return f"measured: {'the built package' if package_folder(options) else 'the source tree, as no package is built'}"


def package_folder(options: Options) -> Path | None:
    """The package's content in a folder, unzipped once for each content; None without a package."""
    package = options.package or next(filter(_is_packed, sorted((PROJECT / ".serverless").glob("*.zip"))), None)
    if package is None or package.is_dir():
        return package
    with package.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    folder = options.work / f"package-{digest}"
    if not folder.exists():
        for old in options.work.glob("package-*"):
            shutil.rmtree(old)
        partial = options.work / f"package-{digest}.partial"
        with zipfile.ZipFile(package) as archive:
            archive.extractall(partial)
        partial.rename(folder)
    return folder


def _is_packed(path: Path) -> bool:
    """Whether the packer is done with it: before, the framework's zip holds our own code only."""
    try:
        with zipfile.ZipFile(path) as archive:
            return PACK_NAME in archive.namelist()
    except zipfile.BadZipFile:
        return False
