"""Writes the pack: a staged folder as independent zstd frames. classifier/bootstrap/archive.py states the format."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.bootstrap.archive import HEADER, MAGIC, read
from tools.packaging.packer.slim import is_shared_object, walk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LARGE_BYTES = 4 << 20
FRAME_BYTES = 32 << 20
"""Small enough for six cores to share the work, large enough to cost no compression (docs/internals/packaging.md)."""

LEVELS = {"quick": 9, "release": 19}
WINDOW_LOG = 26


@dataclass(frozen=True, slots=True)
class _Job:
    """One frame to be written: files (path, size) in order, or a stretch of one from `offset` on."""

    first: int
    files: tuple[tuple[str, int], ...]
    offset: int
    size: int


def write_pack(folder: Path, target: Path, *, name: str, level: str, guide: Mapping[str, Any]) -> str:
    """Pack everything below `folder` into `target` and return its digest. The same inputs give the same bytes.

    `guide` tells which top-level `modules` are in it, and which were `removed` by which rule.
    """
    files = _ordered(folder)
    jobs = _jobs(files)
    with ThreadPoolExecutor(os.process_cpu_count()) as pool:
        frames = list(pool.map(lambda job: _compress(folder, job, LEVELS[level]), jobs))
    entries = [
        [len(frame), job.size, job.first, job.offset, len(job.files)] for job, frame in zip(jobs, frames, strict=True)
    ]
    index = {
        "files": [[path, size, _mode(path)] for path, size in files],
        "frames": entries,
        "sha256": [hashlib.sha256(frame).hexdigest() for frame in frames],
    }
    guiding, packed = _json({"name": name, **guide}), _zstd(19).compress(_json(index))
    digest = hashlib.sha256(guiding + packed)
    with target.open("wb") as stream:
        stream.write(HEADER.pack(MAGIC, len(guiding), len(packed), digest.digest()))
        stream.writelines([guiding, packed, *frames])
    return digest.hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _ordered(folder: Path) -> list[tuple[str, int]]:
    """Large files first, then by kind and path: alike content side by side compresses better."""
    return sorted(walk(folder), key=lambda entry: (entry[1] < LARGE_BYTES, _kind(entry[0]), entry[0]))


def _kind(path: str) -> str:
    return "so" if is_shared_object(path) else path.rpartition(".")[2]


def _mode(path: str) -> int:
    return 0o755 if is_shared_object(path) else 0o644


def _jobs(files: list[tuple[str, int]]) -> list[_Job]:
    jobs: list[_Job] = []
    group: list[tuple[str, int]] = []
    for number, (path, size) in enumerate(files):
        if size >= LARGE_BYTES:
            offsets = range(0, size, FRAME_BYTES)
            jobs += [_Job(number, ((path, size),), at, min(FRAME_BYTES, size - at)) for at in offsets]
            continue
        group.append((path, size))
        if sum(length for _, length in group) >= FRAME_BYTES or number == len(files) - 1:
            jobs.append(_Job(number - len(group) + 1, tuple(group), 0, sum(length for _, length in group)))
            group = []
    return jobs


def _compress(folder: Path, job: _Job, level: int) -> bytes:
    if len(job.files) == 1:
        with (folder / job.files[0][0]).open("rb") as stream:
            stream.seek(job.offset)
            content = stream.read(job.size)
    else:
        content = b"".join((folder / path).read_bytes() for path, _ in job.files)
    frame: bytes = _zstd(level).compress(content)
    return frame


def _zstd(level: int) -> Any:  # noqa: ANN401  (zstandard is imported late, and has no types at run time)
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, window_log=WINDOW_LOG, write_checksum=True, write_content_size=True
    )
    return zstandard.ZstdCompressor(compression_params=parameters)


def head(pack: Path) -> bytes:
    """What of a pack stays in the package when its frames lie in S3: header, guide and index."""
    with pack.open("rb") as stream:
        return stream.read(read(pack).head_bytes)
