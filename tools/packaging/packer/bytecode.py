"""Compiles what is staged, so that nothing is compiled at start, and replaces third-party sources by a stub.

The bytecode is valid whatever the stub's time and size are ("unchecked hash", PEP 552), so the stub is never
read. In the light part it stays, because Python finds modules by it; in the pack gather.py takes it for a
source that is not kept. Were it ever read, by another version of Python, it would say what is wrong instead
of being an empty module. Docstrings go with the source.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import marshal
import opcode
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PYTHON = (3, 13)
_UNCHECKED_HASH = (1).to_bytes(4, "little")  # PEP 552's flags
_LOAD_CONST, _STORE_NAME, _EXTENDED_ARG = (opcode.opmap[name] for name in ("LOAD_CONST", "STORE_NAME", "EXTENDED_ARG"))
_CONSTANT = frozenset(opcode.hasconst)
STUB = (
    "# The packer removed this source (docs/internals/packaging.md); line numbers are those of the original.\n"
    f'raise ImportError(__name__ + ": only bytecode for CPython {PYTHON[0]}.{PYTHON[1]} was packed")\n'
)


class BytecodeError(RuntimeError):
    """The sources can't be compiled for Lambda's Python."""


def require_lambdas_python() -> None:
    """Raise BytecodeError unless this interpreter writes the bytecode that Lambda's Python reads."""
    if sys.version_info[:2] != PYTHON:
        raise BytecodeError(f"the packer needs Python {PYTHON[0]}.{PYTHON[1]}, not {sys.version.split()[0]}")


def compile_tree(folder: Path, keeps_source: Callable[[str], bool], *, docstrings: bool = False) -> int:
    """Compile every module below `folder` on all cores; a stub takes the source's place unless `keeps_source(path)`.

    The bytecode has docstrings only if `docstrings`. Returns how many were compiled. A file that is not valid Python
    3.13 (a template, say) stays as it is.
    """
    require_lambdas_python()
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.py"))]
    jobs = [(path, keeps_source(path)) for path in paths]
    if len(jobs) < 64:
        return sum(_compile_some(folder, jobs, docstrings))
    workers = os.process_cpu_count() or 1
    parts = [jobs[start::workers] for start in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        results = [pool.submit(_compile_some, folder, part, docstrings) for part in parts]
        return sum(sum(result.result()) for result in results)


def _compile_some(folder: Path, jobs: list[tuple[str, bool]], docstrings: bool) -> list[bool]:
    return [_compile_one(folder, path, keep, docstrings) for path, keep in jobs]


def _compile_one(folder: Path, path: str, keep_source: bool, docstrings: bool) -> bool:
    source = folder / path
    target = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    content = source.read_bytes()
    try:
        # A relative path, for the same bytes wherever it is built; importing puts the true one in its place.
        code = compile(content, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    # Some modules edit their own docstrings; TensorFlow's map_fn asserts on it.
    if not docstrings and b"__doc__" not in content:
        code = without_docstrings(code)
    target.parent.mkdir(exist_ok=True)
    header = importlib.util.MAGIC_NUMBER + _UNCHECKED_HASH + importlib.util.source_hash(content)
    target.write_bytes(header + marshal.dumps(code))
    if not keep_source:
        source.write_text(STUB)
    return True


def without_docstrings(code: CodeType) -> CodeType:
    """Empty each docstring: 10 MB less to store, read and keep, and still a string to whoever asks for it.

    In the compiled code, as the detour by a syntax tree takes twice as long. A function's docstring is its first
    constant, which no instruction loads; a class's or module's is loaded once, to be stored as `__doc__`.
    """
    constants = [without_docstrings(value) if isinstance(value, CodeType) else value for value in code.co_consts]
    at = _docstring(code)
    if at is not None:
        constants[at] = ""
    return code.replace(co_consts=tuple(constants))


def _docstring(code: CodeType) -> int | None:
    """The number of the constant that is the docstring and nothing else, or None."""
    pairs = list(itertools.batched(code.co_code, 2, strict=True))
    if code.co_flags & inspect.CO_OPTIMIZED:
        is_plain = not code.co_name.startswith("<")  # lambdas and comprehensions have no docstring
        at = 0 if is_plain and code.co_consts and isinstance(code.co_consts[0], str) else None
        uses = 0
    else:
        stores = (n for n, (op, arg) in enumerate(pairs) if op == _STORE_NAME and code.co_names[arg] == "__doc__")
        (before, _), (load, at) = pairs[store - 2 : store] if (store := next(stores, 0)) else ((0, 0), (0, 0))
        if load != _LOAD_CONST or before == _EXTENDED_ARG:
            return None
        uses = 1
    if at is None or not isinstance(code.co_consts[at], str):
        return None
    return at if sum(op in _CONSTANT and arg == at for op, arg in pairs) == uses else None
