"""What a file of ours imports: read from its text, nothing is run."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.launch import PROJECT

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Import:
    """One imported module: where, whether at the module's top, and whether only for type checkers."""

    module: str
    top: bool
    typing_only: bool


def imports_of(path: Path) -> list[Import]:
    """All imports of a file, those inside functions included."""
    found: list[Import] = []

    def visit(node: ast.AST, *, top: bool, typing_only: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend(Import(alias.name, top, typing_only) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                names = {_target(child.module or "", alias.name) for alias in child.names}
                found.extend(Import(name, top, typing_only) for name in sorted(names))
            else:
                inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                checking = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
                visit(child, top=top and not inside, typing_only=typing_only or checking)

    visit(ast.parse(path.read_text(encoding="utf-8")), top=True, typing_only=False)
    return found


def _target(module: str, name: str) -> str:
    """What `from module import name` imports: a module of ours, or something in one."""
    inner = PROJECT / module.replace(".", "/") / name
    return f"{module}.{name}" if inner.with_suffix(".py").exists() or inner.is_dir() else module
