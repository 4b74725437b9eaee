"""Compiles what is staged, so that nothing is compiled at start, and replaces third-party sources by a stub.

The bytecode is valid whatever the stub's time and size are ("unchecked hash", PEP 552), so the stub is never read; it
has to be there because Python finds modules by it and TensorFlow finds data files next to it. Were it ever read, by
another version of Python, it would say what is wrong instead of being an empty module.
"""

from __future__ import annotations

import os
import py_compile
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = (3, 13)
STUB = (
    "raise ImportError(\"the packer removed this module's source; its bytecode in __pycache__ "
    f'is for CPython {PYTHON[0]}.{PYTHON[1]}")\n'
)


class BytecodeError(RuntimeError):
    """The sources can't be compiled for Lambda's Python."""


def require_lambdas_python() -> None:
    """Raise BytecodeError unless this interpreter writes the bytecode that Lambda's Python reads."""
    if sys.version_info[:2] != PYTHON:
        raise BytecodeError(f"the packer needs Python {PYTHON[0]}.{PYTHON[1]}, not {sys.version.split()[0]}")


def compile_tree(folder: Path, *, keep_sources: bool) -> int:
    """Compile every module below `folder` on all cores; unless `keep_sources`, stubs take the sources' place.

    Returns how many were compiled. A file that is not valid Python 3.13 (a template, say) stays as it is.
    """
    require_lambdas_python()
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.py"))]
    if len(paths) < 64:
        return sum(_compile_some(folder, paths, keep_sources))
    workers = os.process_cpu_count() or 1
    parts = [paths[start::workers] for start in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_compile_some, folder, part, keep_sources) for part in parts]
        return sum(sum(job.result()) for job in jobs)


def _compile_some(folder: Path, paths: list[str], keep_sources: bool) -> list[bool]:
    return [_compile_one(folder, path, keep_sources) for path in paths]


def _compile_one(folder: Path, path: str, keep_sources: bool) -> bool:
    source = folder / path
    target = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    try:
        py_compile.compile(
            str(source),
            cfile=str(target),
            dfile=path,  # the same bytes wherever it is built; importing puts the true path in its place
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    except py_compile.PyCompileError:
        return False
    if not keep_sources:
        source.write_text(STUB)
    return True
