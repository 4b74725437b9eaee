"""Who may import whom: one table by folder, which reads like the picture in docs/internals/architecture.md."""

from __future__ import annotations

import ast
import re
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from local.launch import PROJECT
from tests.support.imports import Import, imports_of

if TYPE_CHECKING:
    from pathlib import Path

BASE = (
    "arrays",
    "documents",
    "errors",
    "function_memory",
    "garbage",
    "litert_c",
    "litert_statuses",
    "logs",
    "metrics",
    "model_memory",
    "phases",
    "printable",
    "records",
    "setting_values",
    "settings",
    "temporary",
)
"""What everybody in classifier/ uses; the other modules at its top compose the rest."""

# Floor by floor: a room uses rooms above it in this table only, so that there can be no circle.
MAY_IMPORT: dict[str, str] = {
    "base": "",
    "keras_json": "base",
    "links": "base",
    "pictures": "base",
    "s3": "base",
    "bootstrap": "base s3",
    "web": "base",
    "bundles": "base pictures s3",
    "keras_weights": "base keras_json",
    "engines": "base bootstrap bundles keras_json keras_weights pictures",
    "compiling": "base bootstrap bundles engines pictures s3",
    "tf_serving": "base bundles pictures web",
    "model_loader": "base bundles engines s3",
    "captures": "base pictures s3 web",
    "explaining": "base bundles engines pictures web",
    "composition": "base bundles captures explaining model_loader pictures s3 tf_serving web",
    "bulk": "base composition pictures s3 web",
    "handler": "base bootstrap bulk bundles captures compiling composition engines links model_loader pictures s3",
    "local": "base bundles",
    "lifecycle": "base bulk bundles captures compiling composition engines keras_json keras_weights pictures s3 web",
    "tools/parameters": "base",
    "tools/advisories": "",
    "tools/pixels": "",
    "tools/packaging": "base bootstrap bundles compiling engines handler pictures",
    "tools/benchmarks": "bootstrap bundles compiling engines handler local pictures s3 tools/packaging",
    "tools/deploying": "local tools/benchmarks",
    "tools/chaos": "base bundles captures compiling links local pictures",
    "tools/training": "bundles compiling lifecycle local",
}
OWNERS = {
    "PIL": (
        "classifier/pictures/render.py",
        "classifier/pictures/colors.py",
        "classifier/pictures/pipelines/",
        "classifier/pictures/shown.py",
        "classifier/explaining/overlay.py",
        "classifier/explaining/png.py",
    ),
    "numpy": (
        "classifier/engines/keras_engine.py",
        "classifier/engines/output_kind.py",
        "classifier/engines/probes.py",
        "classifier/compiling/",
        "classifier/keras_json/building.py",
        "classifier/keras_json/sharing.py",
        "classifier/keras_weights/",
    ),
    "boto3": (),
    "botocore": ("classifier/s3/credential_sources.py",),
    "ssl": ("classifier/links/dial.py", "classifier/links/fetch.py", "classifier/s3/http.py"),
    "socket": ("classifier/links/dial.py", "classifier/links/fetch.py", "classifier/s3/http.py"),
    "http": ("classifier/web/responses.py",),
    "urllib3": (),
    "requests": (),
    "tensorflow": (
        "classifier/engines/",
        "classifier/compiling/",
        "classifier/keras_weights/",
        "classifier/keras_json/own_layers.py",
        "classifier/keras_json/sharing.py",
    ),
    "keras": ("classifier/engines/", "classifier/compiling/", "classifier/keras_json/", "classifier/keras_weights/"),
    "h5py": ("classifier/engines/", "classifier/keras_weights/"),
    "ai_edge_litert": ("classifier/compiling/compiler.py",),
    "ctypes": (
        "classifier/litert_c.py",
        "classifier/bootstrap/",
        "classifier/compiling/conversion.py",
        "classifier/function_memory.py",
    ),
    "pickle": (),
    "marshal": (),
}
"""Libraries that one part of what is deployed owns; all others go through it. A folder ends with a slash."""

DEPLOYED = ("handler.py", "model_loader.py", "classifier/")
FOLDERS = ("classifier", "lifecycle", "local", "tools")
FILES = sorted([*PROJECT.glob("*.py"), *(path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py"))])
NAMES = [path.relative_to(PROJECT).as_posix() for path in FILES]
IMPORTS = {name: imports_of(PROJECT / name) for name in NAMES}
MODULES = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in NAMES}


def room_of(module: str) -> str | None:
    """The row of the table that a module of ours belongs to; None for somebody else's, and for a folder's own name."""
    parts = module.split(".")
    if parts[0] == "tools":
        return "/".join(parts[:2]) if len(parts) > 2 else None
    if parts[0] != "classifier":
        return parts[0] if module in MODULES else None
    if len(parts) == 1:
        return None
    if (len(parts) == 2 and module not in MODULES) or (PROJECT / "classifier" / parts[1]).is_dir():
        return parts[1]
    return "base" if parts[1] in BASE else "composition"


def crossings(name: str, found: list[Import]) -> set[tuple[str, str]]:
    """From which room to which another the imports of a file lead, those for type checkers included."""
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    here = room_of(module) or module
    rooms = {room for one in found if (room := room_of(one.module)) and room != here}
    return {(here, room) for room in rooms}


def test_a_room_imports_exactly_the_rooms_that_the_table_names() -> None:
    edges = {edge for name, found in IMPORTS.items() for edge in crossings(name, found)}
    seen = {room: " ".join(sorted(target for start, target in edges if start == room)) for room in MAY_IMPORT}
    assert {start for start, _ in edges} - {*MAY_IMPORT} == {*()}
    assert seen == MAY_IMPORT


def test_the_table_has_no_circle() -> None:
    order = list(MAY_IMPORT)
    upward = [
        (room, one) for room in order for one in MAY_IMPORT[room].split() if order.index(one) >= order.index(room)
    ]
    assert upward == []


@pytest.mark.parametrize("room", [room for room in MAY_IMPORT if room != "tools/training"])
def test_a_planted_upward_import_fails(room: str) -> None:
    name = next(name for module, name in MODULES.items() if room_of(module) == room)
    planted = [Import("tools.training.command", top=False, typing_only=True)]
    edges = crossings(name, [*IMPORTS[name], *planted])
    assert {target for start, target in edges if start == room} - {*MAY_IMPORT[room].split()} == {"tools/training"}


def test_there_is_no_circle_of_modules() -> None:
    edges = {
        module: {one.module for one in IMPORTS[name] if one.module in MODULES and one.module != module}
        for module, name in MODULES.items()
    }
    done: set[str] = set()
    while leaves := {module for module, targets in edges.items() if module not in done and targets <= done}:
        done |= leaves
    assert sorted(set(edges) - done) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(DEPLOYED)])
def test_only_the_standard_library_and_ourselves_are_imported_at_the_top(name: str) -> None:
    allowed = sys.stdlib_module_names | {"classifier", "handler", "model_loader"}
    heavy = [one.module for one in IMPORTS[name] if one.top and not one.typing_only]
    assert [module for module in heavy if module.partition(".")[0] not in allowed] == []


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_its_owner(library: str) -> None:
    users = {
        name
        for name, found in IMPORTS.items()
        if name.startswith(DEPLOYED)
        and any(one.module.partition(".")[0] == library and not one.typing_only for one in found)
    }
    assert {name for name in users if not name.startswith(OWNERS[library])} == set()


@pytest.mark.parametrize("path", sorted(PROJECT.glob("*.py")), ids=lambda path: path.name)
def test_no_root_module_shadows_a_dependency(path: Path) -> None:
    assert path.stem not in sys.stdlib_module_names
    elsewhere = [folder for folder in sys.path if folder and folder not in (str(PROJECT), ".")]
    before, cached = sys.path[:], sys.modules.pop(path.stem, None)
    sys.path[:] = elsewhere
    try:
        assert find_spec(path.stem) is None
    finally:
        sys.path[:] = before
        if cached is not None:
            sys.modules[path.stem] = cached


@pytest.mark.parametrize("name", NAMES)
def test_files_stay_small_and_say_what_they_own(name: str) -> None:
    text = (PROJECT / name).read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 320
    assert name.rpartition("/")[2] not in ("utils.py", "helpers.py", "common.py")


@pytest.mark.parametrize("name", [name for name in NAMES if re.match(r"classifier/.*__init__\.py", name)])
def test_a_package_of_what_is_deployed_costs_nothing_to_import(name: str) -> None:
    assert len(ast.parse((PROJECT / name).read_text(encoding="utf-8")).body) == 1, "only its docstring"


@pytest.mark.parametrize("path", sorted((PROJECT / "tests").rglob("test_*.py")), ids=lambda path: path.stem)
def test_a_test_lies_where_what_it_tests_does(path: Path) -> None:
    folder = path.parent.relative_to(PROJECT / "tests")
    assert folder.as_posix() in (".", "whole", "classifier/web/page") or (PROJECT / folder).is_dir()
