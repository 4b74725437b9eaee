"""Gathers the modules of a staged folder into one file, which classifier/bootstrap/stored.py imports them from."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

from classifier.bootstrap.stored import LENGTH_BYTES, STORE
from tools.packaging.packer.bytecode import STUB
from tools.packaging.packer.slim import module_of

if TYPE_CHECKING:
    from pathlib import Path


def gather(folder: Path) -> int:
    """Move every compiled module below `folder` into its store; returns how many. The same inputs give the same bytes.

    A module next to an extension module of its name stays a file, since Python prefers the extension module.
    """
    index: dict[str, dict[str, list[int]]] = defaultdict(dict)
    contents: list[bytes] = []
    offset = count = 0
    extensions = {module_of(path.relative_to(folder).as_posix()) for path in folder.rglob("*.so")}
    for source in sorted(folder.rglob("*.py")):
        path = source.relative_to(folder).as_posix()
        compiled = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        if not compiled.is_file() or module_of(path) in extensions:
            continue
        bytecode, text = compiled.read_bytes(), source.read_bytes()
        text = b"" if text == STUB.encode() else text
        contents += [bytecode, text]
        _enter(index, path.removesuffix(".py"), [offset, len(bytecode), len(text)])
        offset, count = offset + len(bytecode) + len(text), count + 1
        source.unlink()
        compiled.unlink()
    _remove_empty(folder)
    listed = json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
    with (folder / STORE).open("wb") as stream:
        stream.writelines([len(listed).to_bytes(LENGTH_BYTES, "little"), listed, *contents])
    return count


def _enter(index: dict[str, dict[str, list[int]]], path: str, place: list[int]) -> None:
    """List a module in its folder, a package in the one above; a folder without `__init__` is a package of no bytes."""
    is_package = path.endswith("/__init__")
    parent, _, name = path.removesuffix("/__init__").rpartition("/")
    index[parent][name] = [int(is_package), *place]
    if is_package:
        index.setdefault(f"{parent}/{name}".lstrip("/"), {})
    while parent:
        parent, _, name = parent.rpartition("/")
        index[parent].setdefault(name, [1, 0, 0, 0])


def _remove_empty(folder: Path) -> None:
    for base, _, _ in folder.walk(top_down=False):
        if base != folder and not any(base.iterdir()):
            base.rmdir()
