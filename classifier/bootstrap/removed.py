"""Says which rule of the packer removed a module, when a module that was left out is asked for after all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.bootstrap import archive

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path
    from types import ModuleType


class RemovedModuleFinder:
    """The last finder of `sys.meta_path`: asked only for modules that nobody else has. Reads the pack's index then."""

    def __init__(self, pack: Path) -> None:
        self._pack = pack
        self._rules: dict[str, str] | None = None
        self._packed: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ModuleNotFoundError naming the rule for a removed module; None for one that we never had."""
        del path, target
        if self._rules is None:
            self._load()
        rules = self._rules or {}
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            rule = rules.get(".".join(parts[:length]))
            if rule:
                raise ModuleNotFoundError(f"No module named {name!r}: {rule}", name=name)
        if parts[0] in self._packed:
            raise ModuleNotFoundError(
                f"No module named {name!r}: {self._pack.name} has {parts[0]}, "
                "but not this part of it, or it was not unpacked yet",
                name=name,
            )
        return None

    def _load(self) -> None:
        self._rules = {}
        index = archive.read(self._pack)
        for rule, entry in index.removed.items():
            text = f"the packer's rule {rule!r} removed it ({entry['reason']})"
            self._rules.update(dict.fromkeys(entry["modules"], text))
        self._packed = {file.path.partition("/")[0].partition(".")[0] for file in index.files}
