"""Modules that are imported from the packer's store are what they would be as files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import markupsafe
import pytest

from classifier.bootstrap.stored import STORE, Store
from local.launch import PROJECT
from tools.packaging.packer import bytecode, gather

SOURCES = {
    "single.py": "VALUE = 1\ndef fail():\n    raise RuntimeError(VALUE)\n",
    "zoo/__init__.py": "import os\n__path__.append(os.path.join(os.path.dirname(__file__), 'api'))\n",
    "zoo/animals.py": "from . import _speedups\nfrom .data import names\ndef count(n):\n    return n + 1\n",
    "zoo/data/__init__.py": "from importlib import resources\nnames = resources.read_text(__name__, 'n.txt')\n",
    "zoo/api/layers/__init__.py": "from zoo.animals import count\n",
    "spread/parts/here.py": "PLACE = 'store'\n",
    "zoo/template.py": "def {{ name }}:\n",
}
KEPT = "zoo/animals.py"

LOOK = """
import importlib, inspect, json, pkgutil, sys, traceback
from pathlib import Path
folder, other = sys.argv[1:3]
if (Path(folder) / ".modules").exists():
    from classifier.bootstrap.stored import Store
    sys.path_hooks.insert(0, Store(Path(folder)))
sys.path[:0] = [folder, other]
said = {}
names = ["single", "zoo", "zoo.animals", "zoo.data", "zoo.layers", "spread", "spread.parts.here", "spread.parts.there"]
for name in names:
    module = importlib.import_module(name)
    spec = module.__spec__
    paths = [str(path).replace(folder, "") for path in getattr(module, "__path__", [])]
    said[name] = [str(module.__file__).replace(folder, ""), module.__package__, paths, spec.has_location]
import zoo.animals, zoo.data, single, zoo._speedups
said["values"] = [zoo.animals.count(1), zoo.data.names, zoo.layers.count is zoo.animals.count]
said["library"] = zoo._speedups.__file__.replace(folder, "")
said["source"] = inspect.getsource(zoo.animals.count)
said["modules"] = sorted(found.name for found in pkgutil.iter_modules([folder, folder + "/zoo"]))
try:
    single.fail()
except RuntimeError as error:
    last = traceback.extract_tb(error.__traceback__)[-1]
    said["failed"] = [last.filename.replace(folder, ""), last.lineno, last.name]
for name in ("zoo.absent", "zoo.data.absent", "absent"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        said[name] = [str(error), error.name]
print(json.dumps(said))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Modules, a namespace package that has another half elsewhere, a data file, an extension module."""
    folder = tmp_path / "tree"
    for path, source in SOURCES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(source)
    (folder / "zoo/data/n.txt").write_text("ape, bee")
    library = next(Path(markupsafe.__file__).parent.glob("_speedups*.so"))
    shutil.copy(library, folder / "zoo" / library.name)
    (folder / "zoo/_speedups.py").write_text("raise RuntimeError('Python prefers the extension module')\n")
    (tmp_path / "other/spread/parts").mkdir(parents=True)
    (tmp_path / "other/spread/parts/there.py").write_text("PLACE = 'elsewhere'\n")
    return folder


def stored(tree: Path, folder: Path) -> Path:
    shutil.copytree(tree, folder)
    bytecode.compile_tree(folder, lambda path: path == KEPT)
    assert gather.gather(folder) == len(SOURCES) - 1  # one is no Python
    return folder


def look(folder: Path) -> Any:
    command = [sys.executable, "-c", LOOK, str(folder), str(folder.parent / "other")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_stored_modules_are_what_they_were_as_files(tree: Path, tmp_path: Path) -> None:
    as_files, as_store = look(tree), look(stored(tree, tmp_path / "packed"))

    assert as_store == as_files
    assert as_store["zoo"][:3] == ["/zoo/__init__.py", "zoo", ["/zoo", "/zoo/api"]]
    assert as_store["source"] == "def count(n):\n    return n + 1\n"


def test_only_what_is_no_module_stays_a_file(tree: Path, tmp_path: Path) -> None:
    folder = stored(tree, tmp_path / "packed")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

    assert {name for name in files if "_speedups" not in name} == {STORE, "zoo/data/n.txt", "zoo/template.py"}
    assert not (folder / "spread").exists()


def test_the_same_modules_give_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    first, second = (stored(tree, tmp_path / name) for name in ("a", "b"))

    assert (first / STORE).read_bytes() == (second / STORE).read_bytes()


def test_a_source_that_was_not_kept_says_so_and_no_other_folder_is_the_stores(tree: Path, tmp_path: Path) -> None:
    folder = stored(tree, tmp_path / "packed")
    store = Store(folder)
    loader: Any = getattr(store(str(folder)).find_spec("single"), "loader", None)

    with pytest.raises(ImportError, match="source not available"):
        loader.get_source("single")
    with pytest.raises(OSError, match=r"only the bytecode of .*single\.py"):
        loader.get_data(str(folder / "single.py"))
    for path in (tmp_path, folder / "zoo" / "nothing", f"{folder}2"):
        with pytest.raises(ImportError, match="is not a folder of"):
            store(str(path))
