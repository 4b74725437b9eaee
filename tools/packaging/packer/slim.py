"""Decides the fate of every installed file, and stages those that stay: light ones and those for the pack."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tools.packaging.packer import elf, elf_bind, elf_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tools.packaging.packer.rules import Rule, Rules

_MODULE = re.compile(r"(?:\.cpython-[^/]*|\.abi3)?\.(?:py|so)$")


@dataclass(slots=True)
class Plan:
    """Where each file goes: `light` and `pack` by path, `removed` by rule; bytes by distribution before and after."""

    light: list[str] = field(default_factory=list)
    pack: list[str] = field(default_factory=list)
    removed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    bytes_installed: Counter[str] = field(default_factory=Counter)
    bytes_kept: Counter[str] = field(default_factory=Counter)


def plan(installed: Path, rules: Rules) -> Plan:
    """Apply the rules to every file below `installed`."""
    result = Plan()
    for path, size in sorted(walk(installed)):
        top = distribution_of(path)
        result.bytes_installed[top] += size
        rule = rules.removing(path)
        if rule:
            result.removed[rule.id].append(path)
            continue
        result.bytes_kept[top] += size
        (result.light if rules.is_light(path) else result.pack).append(path)
    return result


def walk(folder: Path) -> Iterator[tuple[str, int]]:
    """Every file below `folder`: its path with forward slashes, and its size. Symbolic links are followed."""
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)  # noqa: PTH118  (17,000 files)
            yield os.path.relpath(path, folder).replace(os.sep, "/"), os.stat(path).st_size  # noqa: PTH116


def distribution_of(path: str) -> str:
    """The top-level name that a file counts for: `numpy.libs/x` for numpy, `a-1.0.dist-info/x` for metadata."""
    top = path.partition("/")[0]
    if top.endswith(".dist-info"):
        return "metadata"
    return top.removesuffix(".libs").removesuffix(".py")


def mentioned(installed: Path, plan: Plan, rules: Rules) -> Counter[bytes]:
    """How many of the libraries that stay mention each name, as a symbol of theirs or as one that they need."""
    counts: Counter[bytes] = Counter()
    for path in plan.light + plan.pack:
        if is_shared_object(path) and not rules.replacing(path):
            counts.update(elf_bind.mentioned_names((installed / path).read_bytes()))
    return counts


def stage(installed: Path, paths: list[str], target: Path, rules: Rules, mentioned: Mapping[bytes, int]) -> None:
    """Copy `paths` from `installed` to `target`; shared objects lose what is never mapped and what can be bound now."""
    names = elf_bind.Names(mentioned, rules.namespaces)

    for folder in sorted({os.path.dirname(path) for path in paths}):  # noqa: PTH120
        (target / folder).mkdir(parents=True, exist_ok=True)

    def copy(path: str) -> None:
        stub = rules.replacing(path)
        if stub:
            (target / path).with_suffix(".py").write_text(_stub(stub, path))
        elif is_shared_object(path) and rules.may_shrink(path):
            content = (installed / path).read_bytes()
            (target / path).write_bytes(elf.shrink(_bound(content, path, names) if rules.binds(path) else content))
        else:
            shutil.copyfile(installed / path, target / path)

    with ThreadPoolExecutor() as pool:
        list(pool.map(copy, paths))


def _bound(content: bytes, path: str, names: elf_bind.Names) -> bytes:
    try:
        return elf_bind.bind(content, names)
    except elf_tables.UnusualLayoutError as error:
        print(f"  {path} is packed with all its symbols: {error}", flush=True)
        return content


def _stub(rule: Rule, path: str) -> str:
    """A module that can be imported, and says which rule made it so when anything of it is used."""
    text = f"{module_of(path)}: the packer's rule {rule.id!r} replaced it ({rule.reason})"
    return f"def __getattr__(name):\n    raise AttributeError({text!r})\n"


def is_shared_object(path: str) -> bool:
    """Whether the name is that of a shared object: `x.so`, `x.so.2`."""
    return bool(re.search(r"\.so(\.\d+)*$", path))


def removed_modules(removed: Mapping[str, list[str]], kept: list[str]) -> dict[str, list[str]]:
    """Names of modules that each rule removed; a wholly removed package is named once, by its own name."""
    alive = {parent for path in kept if (name := module_of(path)) for parent in _self_and_parents(name)}
    result = {}
    for rule, paths in removed.items():
        names = {name for path in paths if (name := module_of(path))} - alive
        tops = {next(p for p in reversed(list(_self_and_parents(name))) if p not in alive) for name in names}
        result[rule] = sorted(tops)
    return result


def module_of(path: str) -> str | None:
    """The module that importing would find in this file, or None: `a/b/__init__.py` is a.b, `a/c.abi3.so` is a.c."""
    if not _MODULE.search(path):
        return None
    name = _MODULE.sub("", path).removesuffix("/__init__")
    parts = name.split("/")
    return ".".join(parts) if all(part.isidentifier() for part in parts) else None


def _self_and_parents(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]
