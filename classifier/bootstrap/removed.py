"""Says which rule of the packer removed a module, when a module that was left out is asked for after all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path
    from types import ModuleType


class RemovedModuleFinder:
    """The last finder of `sys.meta_path`: asked only for modules that nobody else has. Reads the pack's guide then."""

    def __init__(self, pack: Path | str) -> None:
        self._pack = pack
        self._rules: dict[str, str] | None = None
        self._packed: set[str] = set()
        self.is_unpacked = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ModuleNotFoundError naming the rule for a removed module; None for one that we never had."""
        del path, target
        if name.partition(".")[0] in sys.stdlib_module_names:
            return None  # the standard library itself asks for modules of other systems at every start
        rules = self._rules if self._rules is not None else self._load()
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            rule = rules.get(".".join(parts[:length]))
            if rule:
                raise ModuleNotFoundError(f"No module named {name!r}: {rule}", name=name)
        if not self.is_unpacked and parts[0] in self._packed:
            pack = str(self._pack).rpartition("/")[2]
            raise ModuleNotFoundError(f"No module named {name!r}: {pack} is not unpacked yet", name=name)
        return None

    def _load(self) -> dict[str, str]:
        from pathlib import Path  # here, as most sandboxes ask for no such module

        from classifier.bootstrap import archive

        guide = archive.read_guide(Path(self._pack))
        self._rules = {
            module: f"the packer's rule {rule!r} removed it ({entry['reason']})"
            for rule, entry in guide["removed"].items()
            for module in entry["modules"]
        }
        self._packed = set(guide["modules"])
        return self._rules
