"""Unpacks a pack into a folder that appears whole or not at all, on all cores, whatever stops it half-way."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, cast

from classifier.bootstrap.archive import MAX_WINDOW_BYTES, Archive, Frame, PackError, digest_of, read
from classifier.bootstrap.frames import FramesOfFile
from classifier.errors import StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from classifier.bootstrap.frames import Frames, Packed

MARKER = ".unpacked"
"""Written last. Holds the digest of the pack that the folder was unpacked from."""

SPARE_BYTES = 16 << 20
"""Left free for the model and the runtime's own files."""

MAX_WORKERS = 6
"""As many cores as Lambda gives to one function."""

ATTEMPTS = 3
"""How often a frame that was cut off on its way is asked for in all."""

READ_BYTES = 1 << 18


def folder_for(name: str, digest: str, parent: Path) -> Path:
    """Where the pack of this name and digest is unpacked to."""
    return parent / f"{name}-{digest[:16]}"


def is_unpacked(folder: Path, digest: str) -> bool:
    """Whether `folder` is a complete copy of the pack with this digest."""
    try:
        return (folder / MARKER).read_text() == digest
    except OSError:
        return False


def unpack(
    pack: Path,
    parent: Path,
    *,
    apart: Callable[[Archive], Frames] | None = None,
    workers: int | None = None,
) -> tuple[Path, dict[str, float]]:
    """Unpack `pack` into a folder of `parent` and return it with the milliseconds of each phase.

    Does nothing when it is there already. Another version's folder stays untouched. `apart` opens the frames of a pack
    that holds none itself. Raises PackError, which names needed and free bytes when there is too little space, and the
    file when the pack is damaged; StorageUnavailableError when S3 does not give it for now.
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
        _write_all(archive, _frames(archive, apart), partial, workers)
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
            if file.size and hasattr(os, "posix_fallocate"):
                # Without it, a full disk would be a SIGBUS in the middle of a mapped write instead of an error here.
                os.posix_fallocate(descriptor, 0, file.size)
            else:
                os.truncate(descriptor, file.size)
        finally:
            os.close(descriptor)


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _frames(archive: Archive, apart: Callable[[Archive], Frames] | None) -> Frames:
    if not archive.is_apart:
        return FramesOfFile(archive)
    if apart is None:
        raise PackError(f"{archive.path} holds an index only, and nothing says where the frames lie")
    return apart(archive)


def _write_all(archive: Archive, frames: Frames, partial: Path, workers: int | None) -> None:
    largest_first = sorted(archive.frames, key=lambda frame: -frame.size)
    workers = workers or max(frames.least_workers, min(os.process_cpu_count() or 1, MAX_WORKERS))
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_write_frame, archive, frame, frames, partial) for frame in largest_first]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_frame(archive: Archive, frame: Frame, frames: Frames, partial: Path) -> None:
    """Write a frame's files; anew when its bytes stop coming, since what was written is written over."""
    for _ in range(ATTEMPTS - 1):
        try:
            _write_once(archive, frame, frames, partial)
        except StorageUnavailableError:
            continue
        return
    _write_once(archive, frame, frames, partial)


def _write_once(archive: Archive, frame: Frame, frames: Frames, partial: Path) -> None:
    import zstandard

    write: Callable[[Archive, Frame, Packed, Path], None] = _write_stretch if frame.count == 1 else _write_files
    damaged = f"{archive.path} is damaged at {archive.files[frame.first].path} (byte {frame.start})"
    with frames.opened(frame) as stored:
        packed = _Hashed(stored)
        try:
            write(archive, frame, packed, partial)
        except zstandard.ZstdError as error:
            raise PackError(f"{damaged}: {error}") from error
        if packed.hash.hexdigest() != frame.sha256:
            raise PackError(f"{damaged}: its bytes are not those of the index")


class _Hashed:
    """A frame's bytes, and the hash of those that were read."""

    def __init__(self, packed: Packed) -> None:
        self._packed, self.hash = packed, hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        data = self._packed.read(size)
        self.hash.update(data)
        return data


def _write_stretch(archive: Archive, frame: Frame, packed: Packed, partial: Path) -> None:
    """Decompress straight into the mapped file: no copy, and no memory beyond a window."""
    if not frame.size:
        _decompress_into(packed, memoryview(b""))
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


def _decompress_into(packed: Packed, view: memoryview) -> None:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    with decompressor.stream_reader(cast("IO[bytes]", packed), read_size=READ_BYTES) as reader:
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


def _write_files(archive: Archive, frame: Frame, packed: Packed, partial: Path) -> None:
    content = bytearray(frame.size)
    with memoryview(content) as view:
        _decompress_into(packed, view)
        start = 0
        for file in archive.files[frame.first : frame.first + frame.count]:
            with view[start : start + file.size] as part:
                _write_file(os.path.join(partial, file.path), file.mode, part)  # noqa: PTH118
            start += file.size


def _write_file(path: str, mode: int, content: memoryview) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
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
