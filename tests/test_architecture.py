"""Who may import whom, and what may be imported where."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.glob("*.py"), *(ROOT / "classifier").rglob("*.py")])
OURS = ("classifier", "handler", "model_loader")
OWNERS = {
    "PIL": ("classifier/pictures/images.py", "classifier/pictures/apart.py"),
    "boto3": (),
    "botocore": ("classifier/s3/http.py",),
    "ssl": ("classifier/links/dial.py", "classifier/links/fetch.py"),
    "socket": ("classifier/links/dial.py", "classifier/links/fetch.py"),
    "http": ("classifier/s3/http.py", "classifier/web/responses.py"),
    "urllib3": (),
    "requests": (),
    "tensorflow": (
        "classifier/engines/",
        "classifier/compiling/compiler.py",
        "classifier/keras_weights/",
        "classifier/keras_json/own_layers.py",
    ),
    "keras": (
        "classifier/engines/",
        "classifier/compiling/compiler.py",
        "classifier/keras_json/",
        "classifier/keras_weights/",
    ),
    "h5py": ("classifier/engines/", "classifier/keras_weights/"),
    "ai_edge_litert": ("classifier/engines/", "classifier/compiling/compiler.py"),
    "multipart": ("classifier/web/uploads.py",),
    "pickle": (),
    "marshal": (),
}
"""Libraries that one part of the program owns; all others go through it. A folder ends with a slash."""


@dataclass(frozen=True)
class Import:
    """One imported module: where, whether at the module's top, and whether only for type checkers."""

    module: str
    top: bool
    typing_only: bool


def _target(module: str, name: str) -> str:
    """What `from module import name` imports: a module of ours, or something in one."""
    inner = ROOT / module.replace(".", "/") / name
    return f"{module}.{name}" if inner.with_suffix(".py").exists() or inner.is_dir() else module


def _imports(path: Path) -> list[Import]:
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


IMPORTS = {path.relative_to(ROOT).as_posix(): _imports(path) for path in FILES}


@pytest.mark.parametrize("name", [name for name in IMPORTS if name.startswith("classifier/")])
def test_the_package_never_imports_the_root_modules(name: str) -> None:
    above = [one.module for one in IMPORTS[name] if one.module in ("handler", "model_loader") and not one.typing_only]
    assert above == []


def test_nobody_imports_the_handler() -> None:
    assert [name for name, found in IMPORTS.items() if any(one.module == "handler" for one in found)] == []


@pytest.mark.parametrize("name", IMPORTS)
def test_only_the_standard_library_and_ourselves_are_imported_at_the_top(name: str) -> None:
    allowed = sys.stdlib_module_names | set(OURS)
    heavy = [one.module for one in IMPORTS[name] if one.top and not one.typing_only]
    assert [module for module in heavy if module.partition(".")[0] not in allowed] == []


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_its_owner(library: str) -> None:
    users = {
        name
        for name, found in IMPORTS.items()
        if any(one.module.partition(".")[0] == library and not one.typing_only for one in found)
    }
    assert {name for name in users if not name.startswith(OWNERS[library])} == set()


def test_errors_depend_on_nothing_of_ours() -> None:
    assert [one for one in IMPORTS["classifier/errors.py"] if one.module.partition(".")[0] in OURS] == []


def test_there_is_no_circle_of_imports() -> None:
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in IMPORTS}
    edges = {
        module: {one.module for one in IMPORTS[name] if one.top and not one.typing_only and one.module in modules}
        for module, name in modules.items()
    }
    done: set[str] = set()
    while leaves := {module for module, targets in edges.items() if module not in done and targets <= done}:
        done |= leaves
    assert set(edges) - done == set()


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.py")), ids=lambda path: path.name)
def test_no_root_module_shadows_a_dependency(path: Path) -> None:
    assert path.stem not in sys.stdlib_module_names
    elsewhere = [folder for folder in sys.path if folder and Path(folder).resolve() != ROOT]
    before = sys.path[:]
    sys.path[:] = elsewhere
    try:
        cached = sys.modules.pop(path.stem, None)
        assert find_spec(path.stem) is None
    finally:
        sys.path[:] = before
        if cached is not None:
            sys.modules[path.stem] = cached


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_stay_small_and_say_what_they_own(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 320
    assert path.stem not in ("utils", "helpers", "common")
