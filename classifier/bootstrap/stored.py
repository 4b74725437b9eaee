"""Imports Python modules from one file of an unpacked folder, where they would be thousands: `.modules`.

    8 bytes   length of the index, little-endian
    index     JSON: {folder: {name: [is_package, offset, bytecode bytes, source bytes]}}
    modules   bytecode as in a .pyc, and after it the source if it was kept

Creating 5,000 small files takes longer than decompressing TensorFlow, and each import opens them again. Paths are what
they would be (`__file__`, `__path__`), so libraries and data files, which lie there as files, are found from them.
"""

from __future__ import annotations

import json
import os
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import ModuleType

STORE = ".modules"
LENGTH_BYTES = 8
_FILES = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (SourceFileLoader, [".py"]))


class Entry(NamedTuple):
    """Where a module lies in the store."""

    is_package: bool
    offset: int
    bytecode: int
    source: int


class Store:
    """The modules of an unpacked folder; a hook of `sys.path_hooks` for paths that have some."""

    def __init__(self, folder: Path) -> None:
        """Read the index. OSError if the folder has no store."""
        self._root = str(folder)
        self._descriptor = os.open(folder / STORE, os.O_RDONLY | os.O_CLOEXEC)
        length = int.from_bytes(os.pread(self._descriptor, LENGTH_BYTES, 0), "little")
        self._start = LENGTH_BYTES + length
        self._folders: dict[str, dict[str, list[int]]] = json.loads(os.pread(self._descriptor, length, LENGTH_BYTES))

    def __call__(self, path: str) -> StoredFinder:
        """Return the finder for a folder; ImportError for one that has no modules here."""
        if path == self._root:
            return StoredFinder(self, path, self._folders.get("", {}))
        if path.startswith(self._root + "/"):
            modules = self._folders.get(path[len(self._root) + 1 :])
            if modules is not None:
                return StoredFinder(self, path, modules)
        raise ImportError(f"{path} is not a folder of {self._root}/{STORE}", path=path)

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the modules' part."""
        return os.pread(self._descriptor, length, self._start + offset)


class StoredFinder:
    """Finds what one folder of the store has, and else what the folder itself has: extension modules."""

    def __init__(self, store: Store, path: str, modules: Mapping[str, list[int]]) -> None:
        self._store, self._path, self._modules = store, path, modules
        self._files = FileFinder(path, *_FILES)

    def find_spec(self, name: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of a stored module, or whatever else lies in the folder under this name."""
        tail = name.rpartition(".")[2]
        found = self._modules.get(tail)
        if found is None:
            return self._files.find_spec(name, target)
        entry, path = Entry(bool(found[0]), *found[1:]), f"{self._path}/{tail}"
        if entry.is_package and not entry.bytecode:
            return self._files.find_spec(name, target) or _namespace(name, path)
        file = f"{path}/__init__.py" if entry.is_package else f"{path}.py"
        return spec_from_file_location(
            name,
            file,
            loader=StoredLoader(name, file, self._store, entry),
            submodule_search_locations=[path] if entry.is_package else None,
        )

    def invalidate_caches(self) -> None:
        """Look at the folder anew; the store never changes."""
        self._files.invalidate_caches()

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """Yield (name, is_package) of each module of the folder, for pkgutil."""
        import pkgutil

        stored = {name: bool(found[0]) for name, found in self._modules.items() if found[2]}
        files = dict(pkgutil.iter_importer_modules(self._files))  # type: ignore[attr-defined]  # typeshed leaves it out
        return ((prefix + name, is_package) for name, is_package in sorted((files | stored).items()))


def _namespace(name: str, path: str) -> ModuleSpec:
    """Return the spec of a folder of modules without `__init__.py`, which need not exist itself."""
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [path]
    return spec


class StoredLoader(SourceFileLoader):
    """Loads bytecode that is valid whatever the source's time is (PEP 552, unchecked), so that no file is looked at."""

    def __init__(self, name: str, path: str, store: Store, entry: Entry) -> None:
        super().__init__(name, path)
        self._store, self._entry = store, entry

    def path_stats(self, path: str) -> dict[str, float]:
        """Return a time that nobody compares."""
        del path
        return {"mtime": 0, "size": self._entry.source}

    def get_data(self, path: str) -> bytes:
        """Return the bytecode, the source, or a file; OSError when the source was not kept."""
        entry = self._entry
        if path.endswith(".pyc"):
            return self._store.read(entry.offset, entry.bytecode)
        if path != self.path:
            return super().get_data(path)
        if not entry.source:
            raise FileNotFoundError(f"the packer kept only the bytecode of {path}, for one version of Python")
        return self._store.read(entry.offset + entry.bytecode, entry.source)
