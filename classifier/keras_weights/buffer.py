"""A buffer as the file that h5py reads: no copy of it, and what was read of a mapping is given back at once."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Final

from classifier import temporary

if TYPE_CHECKING:
    from mmap import mmap

    from _typeshed import WriteableBuffer

_PART: Final = 1 << 24


class BufferFile(io.RawIOBase):
    """Reads bytes or a mapped file, whose pages are dropped: they are read again if they are asked for."""

    def __init__(self, data: bytes | mmap) -> None:
        self._data, self._view, self._at = data, memoryview(data), 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go there and say where that is."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._view)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._at

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` as far as there are bytes."""
        target = memoryview(buffer).cast("B")
        size = min(len(target), max(0, len(self._view) - self._at))
        for start in range(0, size, _PART):
            end = min(start + _PART, size)
            target[start:end] = self._view[self._at + start : self._at + end]
            temporary.give_back(self._data, self._at + start, end - start)
        self._at += size
        return size

    def close(self) -> None:
        """Let go of the buffer."""
        self._view.release()
        super().close()
