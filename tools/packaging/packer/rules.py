"""Reads rules.toml: what is removed, what lies ready in the package, and why."""

from __future__ import annotations

import glob
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RULES_FILE = Path(__file__).resolve().parents[1] / "rules.toml"


class RulesError(ValueError):
    """rules.toml is wrong; the text says where."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason to remove files, and the patterns of the files it means."""

    id: str
    reason: str
    _paths: re.Pattern[str]
    _keep: re.Pattern[str] | None

    def removes(self, path: str) -> bool:
        """Whether this rule removes the file at `path`, relative to the installed requirements."""
        return bool(self._paths.match(path)) and not (self._keep and self._keep.match(path))


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, in the order of the file."""

    remove: tuple[Rule, ...]
    replace: tuple[Rule, ...]
    namespaces: tuple[str, ...]
    _bind: re.Pattern[str]
    _light: re.Pattern[str]
    _sources: re.Pattern[str]
    _unshrunk: re.Pattern[str] | None

    def removing(self, path: str) -> Rule | None:
        """The first rule that removes `path`, or None."""
        return next((rule for rule in self.remove if rule.removes(path)), None)

    def replacing(self, path: str) -> Rule | None:
        """The rule that puts a stub in place of the extension module at `path`, or None."""
        return next((rule for rule in self.replace if rule.removes(path)), None)

    def is_light(self, path: str) -> bool:
        """Whether `path` lies ready in the package instead of in the pack."""
        return bool(self._light.match(path))

    def binds(self, path: str) -> bool:
        """Whether the shared object at `path` gets the symbols that nobody else mentions bound to itself."""
        return bool(self._bind.match(path))

    def keeps_source(self, path: str) -> bool:
        """Whether the module at `path` keeps its source next to its bytecode."""
        return bool(self._sources.match(path))

    def may_shrink(self, path: str) -> bool:
        """Whether the shared object at `path` may lose its unmapped bytes."""
        return not (self._unshrunk and self._unshrunk.match(path))


def load(path: Path = RULES_FILE) -> Rules:
    """Read the rules. Raises RulesError."""
    table = tomllib.loads(path.read_text())
    try:
        remove, replace = (tuple(map(_rule, table[kind])) for kind in ("remove", "replace"))
        bind = table["bind"]
        light, skip, sources = table["light"]["paths"], table["shrink"]["skip"], table["sources"]["keep"]
    except KeyError as error:
        raise RulesError(f"{path}: {error} is missing") from error
    ids = [rule.id for rule in remove + replace]
    if len(set(ids)) != len(ids):
        raise RulesError(f"{path}: two rules have one id: {ids}")
    return Rules(
        remove,
        replace,
        tuple(bind["namespaces"]),
        _any(bind["paths"]),
        _any(light),
        _any(sources),
        _any(skip) if skip else None,
    )


def _rule(entry: dict[str, Any]) -> Rule:
    return Rule(entry["id"], entry["reason"], _any(entry["paths"]), _any(entry["keep"]) if "keep" in entry else None)


def _any(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(glob.translate(p, recursive=True, include_hidden=True, seps="/") for p in patterns))
