"""What code is measured: the built package where there is one, else the source tree."""

from __future__ import annotations

import hashlib
import py_compile
import shutil
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.bootstrap import archive
from classifier.bootstrap.dependencies import PACK_NAME
from local.launch import PROJECT, Code
from tools.packaging.packer import bytecode, rules, slim

if TYPE_CHECKING:
    from tools.benchmarks.result import Options

FUNCTIONS = Path(__file__).parent / "functions"
_FLOOR = ("numpy/", "numpy.libs/", "PIL/", "pillow.libs/")
_INTERPRETER = (
    *("__init__.py", "interpreter.py", "metrics_interface.py", "metrics_portable.py"),
    *("_pywrap_litert_interpreter_wrapper.so", "libpywrap_litert_common.so"),
)
"""What LiteRT's interpreter for Python needs of ai-edge-litert."""


def our_code(options: Options) -> Code:
    """Our function's code, and nothing else if it is a package."""
    folder = package_folder(options)
    return Code(root=folder, isolated=True, wrap=options.wrap) if folder else Code(wrap=options.wrap)


def whole_code(options: Options) -> Code:
    """The same with TensorFlow's pack in it, as `pack=package` makes it."""
    folder, pack = package_folder(options), pack_apart(options)
    if folder is None or pack is None:
        return our_code(options)
    whole = folder.with_name(f"{folder.name}-whole")
    if not whole.exists():
        partial = whole.with_suffix(".partial")
        shutil.copytree(folder, partial)
        shutil.copyfile(pack, partial / PACK_NAME)
        partial.rename(whole)
    return Code(root=whole, isolated=True, wrap=options.wrap)


def floor_code(options: Options) -> Code:
    """The floor's handler with its libraries as the packer makes ours: shrunk, compiled, alone on the path."""
    py_compile.compile(str(FUNCTIONS / "floor.py"))  # a sandbox may not, and ours lies compiled too
    if package_folder(options) is None:
        return Code(root=FUNCTIONS, wrap=options.wrap)
    return Code(root=FUNCTIONS, isolated=True, python_path=(floor_libraries(options),), wrap=options.wrap)


def floor_libraries(options: Options) -> Path:
    """numpy, Pillow and LiteRT's interpreter, packed once."""
    folder = options.work / "floor-libraries"
    if not folder.exists():
        numpy, given = find_spec("numpy"), rules.load()
        assert numpy is not None
        assert numpy.origin is not None
        site = Path(numpy.origin).parents[1]
        paths = [path for path, _ in slim.walk(site) if path.startswith(_FLOOR) and not given.removing(path)]
        paths += [f"ai_edge_litert/{name}" for name in _INTERPRETER]
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        slim.stage(site, paths, partial, given, {})
        bytecode.compile_tree(partial, given.keeps_source)
        partial.rename(folder)
    return folder


def pack_apart(options: Options) -> Path | None:
    """TensorFlow's pack beside the package that is measured; None when there is none, or it is in the package."""
    folder = package_folder(options)
    if folder is None or not archive.read(folder / PACK_NAME).is_apart:
        return None
    place = options.package.parent if options.package and options.package.is_file() else PROJECT / ".serverless"
    pack = place / "packs" / archive.digest_of(folder / PACK_NAME)
    return pack if pack.is_file() else None


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
