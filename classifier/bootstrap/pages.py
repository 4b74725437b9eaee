"""Gives back the memory of library pages that start-up has read once: TensorFlow's peak is a third lower for it.

Loading `libtensorflow_cc` runs thousands of registrations, scattered over 300 MB of code. Their pages stay mapped, but
hardly any is read again; one that is comes back from the page cache in microseconds (madvise(2), MADV_DONTNEED).
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_MADV_DONTNEED = 4
_SMAPS = Path("/proc/self/smaps")


def give_back(owner: str = "/tensorflow/") -> None:
    """Unmap the pages of libraries with `owner` in their path, as far as they are the file's: code and constants.

    Pages that the process has written to (relocations, data) exist nowhere else and stay: only mappings without any.
    Does nothing where there is no /proc.
    """
    if not _SMAPS.is_file():
        return
    import ctypes

    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, end in clean_ranges(_SMAPS.read_text(), owner):
        madvise(start, end - start, _MADV_DONTNEED)


def clean_ranges(smaps: str, owner: str) -> Iterator[tuple[int, int]]:
    """Address ranges of read-only mappings of `owner`'s files that hold no page of the process's own."""
    found: tuple[int, int] | None = None
    for line in smaps.splitlines():
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            start, _, end = name.partition("-")
            is_candidate = rest.startswith(("r--p", "r-xp")) and owner in rest and ".so" in rest
            found = (int(start, 16), int(end, 16)) if is_candidate else None
        elif found and name == "Anonymous:" and rest.split()[0] == "0":
            yield found


@contextmanager
def given_back_after(loaded: str) -> Iterator[None]:
    """Give pages back as soon as the module `loaded` has been, while the import goes on, and once more at the end."""
    finder = _AfterLoading(loaded)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
    give_back()


class _AfterLoading:
    """Asked for every module that is imported, finds none, and so knows when the first one after `loaded` is."""

    def __init__(self, loaded: str) -> None:
        self._loaded = loaded
        self._is_done = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del name, path, target
        if not self._is_done and self._loaded in sys.modules:
            self._is_done = True
            give_back()
        return None
