"""Files in the one folder that Lambda lets us write to, without a name: nothing is left of them, however we end."""

from __future__ import annotations

import io
import mmap
import os
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SPARE_BYTES = 16 << 20
"""What others may need of the folder meanwhile."""


@contextmanager
def file(size: int) -> Iterator[IO[bytes]]:
    """An empty file for `size` bytes to write and read; in memory where the folder is missing or has no room."""
    descriptor = _opened(os.environ.get("TMPDIR", "/tmp"), size)  # noqa: S108 - Lambda's only writable place
    with io.BytesIO() if descriptor is None else open(descriptor, "w+b") as opened:  # noqa: PTH123 - a descriptor
        yield opened


def content(opened: IO[bytes]) -> bytes | mmap.mmap:
    """All that a `file` holds: private pages of it, which stay when it is closed, or bytes where it is in memory."""
    if isinstance(opened, io.BytesIO):
        return opened.getvalue()
    opened.flush()
    size = os.fstat(opened.fileno()).st_size
    return mmap.mmap(opened.fileno(), size, access=mmap.ACCESS_COPY) if size else b""


def give_back(data: bytes | mmap.mmap, start: int = 0, size: int | None = None) -> None:
    """Let go of the memory of a mapping's pages, all of them or those of a range; they can be read again."""
    if isinstance(data, mmap.mmap):
        first = start // mmap.PAGESIZE * mmap.PAGESIZE
        data.madvise(mmap.MADV_DONTNEED, first, (len(data) if size is None else start + size) - first)


def _opened(folder: str, size: int) -> int | None:
    path = f"{folder}/{os.getpid()}-{os.urandom(8).hex()}"
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.unlink(path)  # noqa: PTH108 - importing pathlib costs more
        disk = os.fstatvfs(descriptor)
        if disk.f_bavail * disk.f_frsize >= size + SPARE_BYTES:
            return descriptor
        os.close(descriptor)
    return None
