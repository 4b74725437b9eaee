"""Unpacks a pack into a folder that appears whole or not at all, on all cores, whatever stops it half-way."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from classifier.bootstrap.archive import MAX_WINDOW_BYTES, Archive, Frame, PackError, digest_of, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MARKER = ".unpacked"
"""Written last. Holds the digest of the pack that the folder was unpacked from."""

SPARE_BYTES = 16 << 20
"""Left free for the model and the runtime's own files."""

MAX_WORKERS = 6
"""As many cores as Lambda gives to one function."""


def folder_for(name: str, digest: str, parent: Path) -> Path:
    """Where the pack of this name and digest is unpacked to."""
    return parent / f"{name}-{digest[:16]}"


def is_unpacked(folder: Path, digest: str) -> bool:
    """Whether `folder` is a complete copy of the pack with this digest."""
    try:
        return (folder / MARKER).read_text() == digest
    except OSError:
        return False


def unpack(pack: Path, parent: Path, *, workers: int | None = None) -> tuple[Path, dict[str, float]]:
    """Unpack `pack` into a folder of `parent` and return it with the milliseconds of each phase.

    Does nothing when it is there already. Another version's folder stays untouched. Raises PackError, which names
    needed and free bytes when there is too little space, and the file when the pack is damaged.
    """
    clock = _Clock()
    archive = read(pack)
    clock.lap("index")
    folder = folder_for(archive.name, archive.digest, parent)
    if is_unpacked(folder, archive.digest):
        return folder, clock.laps
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    try:
        _remove_stale(folder)
        _check_space(archive, parent)
        _make_folders(archive, partial)
        clock.lap("prepare")
        _write_all(archive, partial, workers or min(os.process_cpu_count() or 1, MAX_WORKERS))
        (partial / MARKER).write_text(archive.digest)
        clock.lap("write")
        _move_into_place(partial, folder, archive.digest)
        clock.lap("rename")
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise PackError(f"can't unpack {pack} into {parent}: {error}") from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder, clock.laps


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round((now - self._last) * 1000, 2)
        self._last = now


def _remove_stale(folder: Path) -> None:
    """Remove half-unpacked copies of this pack whose process is gone. Nothing else in `/tmp` is ever touched."""
    for stale in folder.parent.glob(f"{folder.name}.partial-*"):
        pid = stale.name.rpartition("-")[2]
        # Our own number: a process of an earlier run had it, since threads of this one wait for each other.
        if not pid.isdecimal() or int(pid) == os.getpid() or not _is_alive(int(pid)):
            shutil.rmtree(stale, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check_space(archive: Archive, parent: Path) -> None:
    parent.mkdir(parents=True, exist_ok=True)
    state = os.statvfs(parent)
    free, needed = state.f_bavail * state.f_frsize, archive.bytes_needed + SPARE_BYTES
    if free < needed:
        raise PackError(
            f"{parent} is too small for {archive.path.name}: {needed} bytes needed, {free} bytes free "
            "(ephemeralStorageSize in serverless.yml sets its size)"
        )


def _make_folders(archive: Archive, partial: Path) -> None:
    partial.mkdir()
    folders = {parent for file in archive.files for parent in _parents(file.path)}
    for folder in sorted(folders):  # a parent sorts before what is in it
        os.mkdir(f"{partial}/{folder}")  # noqa: PTH102  (pathlib takes three times as long, for 900 folders)
    for number in sorted({frame.first for frame in archive.frames if frame.count == 1}):
        file = archive.files[number]
        descriptor = os.open(partial / file.path, os.O_CREAT | os.O_WRONLY, file.mode)
        try:
            if file.size:
                # Without it, a full disk would be a SIGBUS in the middle of a mapped write instead of an error here.
                os.posix_fallocate(descriptor, 0, file.size)
        finally:
            os.close(descriptor)


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _write_all(archive: Archive, partial: Path, workers: int) -> None:
    largest_first = sorted(archive.frames, key=lambda frame: -frame.size)
    with (
        archive.path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as source,
        memoryview(source) as view,
        ThreadPoolExecutor(workers) as pool,
    ):
        source.madvise(mmap.MADV_WILLNEED)
        futures = [pool.submit(_write_frame, archive, frame, view, partial) for frame in largest_first]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_frame(archive: Archive, frame: Frame, source: memoryview, partial: Path) -> None:
    import zstandard

    write: Callable[[Archive, Frame, memoryview, Path], None] = _write_stretch if frame.count == 1 else _write_files
    try:
        with source[frame.start : frame.start + frame.packed] as packed:
            if len(packed) != frame.packed:
                raise PackError(f"{archive.path} is damaged: it ends before {archive.files[frame.first].path}")
            write(archive, frame, packed, partial)
    except zstandard.ZstdError as error:
        name = archive.files[frame.first].path
        raise PackError(f"{archive.path} is damaged at {name} (byte {frame.start}): {error}") from error


def _write_stretch(archive: Archive, frame: Frame, packed: memoryview, partial: Path) -> None:
    """Decompress straight into the mapped file: no copy, and no memory beyond one frame."""
    if not frame.size:
        return
    aligned = frame.offset // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
    lead = frame.offset - aligned
    descriptor = os.open(partial / archive.files[frame.first].path, os.O_RDWR)
    try:
        target = mmap.mmap(descriptor, lead + frame.size, offset=aligned)
    finally:
        os.close(descriptor)
    with target, memoryview(target)[lead:] as view:
        _decompress_into(packed, view)


def _decompress_into(packed: memoryview, view: memoryview) -> None:
    import zstandard

    with zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).stream_reader(packed) as reader:
        done = 0
        while done < len(view):
            with view[done:] as rest:
                count = reader.readinto(rest)
            if not count:
                raise zstandard.ZstdError(f"{len(view) - done} bytes are missing")
            done += count
        # Reading past the end makes the decoder compare the frame's checksum.
        if reader.read(1):
            raise zstandard.ZstdError("there are more bytes than the index states")


def _write_files(archive: Archive, frame: Frame, packed: memoryview, partial: Path) -> None:
    import zstandard

    # The frame states its own size; a damaged statement must not make us ask for terabytes.
    if zstandard.frame_content_size(packed) != frame.size:
        raise zstandard.ZstdError("its size is not the one in the index")
    content = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES).decompress(packed)
    start = 0
    with memoryview(content) as view:
        for file in archive.files[frame.first : frame.first + frame.count]:
            _write_file(os.path.join(partial, file.path), file.mode, view[start : start + file.size])  # noqa: PTH118
            start += file.size


def _write_file(path: str, mode: int, content: memoryview) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, mode)
    try:
        while content:
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)


def _move_into_place(partial: Path, folder: Path, digest: str) -> None:
    """Rename, unless another process was faster. A folder without a marker is not ours and can't be one of ours."""
    try:
        partial.rename(folder)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
            raise
        if not is_unpacked(folder, digest):
            raise PackError(f"{folder} is in the way and is not what {digest} unpacks to; remove it") from error
        shutil.rmtree(partial, ignore_errors=True)


__all__ = ["MARKER", "PackError", "digest_of", "folder_for", "is_unpacked", "unpack"]
