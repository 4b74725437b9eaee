"""The pack's file format: what lies where in it. Reading only; the packer writes it.

The file ends after the index where the frames lie apart, in S3; guide and index are in the package either way.

    8 bytes   magic             2 x 4 bytes   lengths of guide and index, little-endian
    32 bytes  sha256 of guide and index, which is the pack's digest
    guide     JSON: {"name", "modules": [top-level names in the pack], "removed": {rule: {"reason", "modules": [...]}}}
    index     zstd-compressed JSON: {"files": [[path, size, mode]], "frames": [[packed, size, first, offset, files]],
              "sha256": [of each frame, packed]}
    frames    independent zstd frames with checksums, back to back

A frame holds either a stretch of one large file (`files` is 1 and `offset` its place in the file) or `files` whole
small files, from file number `first` on. Any number of cores can therefore work without talking to each other.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"KLCPACK2"
HEADER = struct.Struct("<8sII32s")
MAX_WINDOW_BYTES = 1 << 28


class PackError(RuntimeError):
    """The pack is damaged, or it can't be unpacked here; the text says what is wrong and where."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of the pack: its path in it, size in bytes and permission bits."""

    path: str
    size: int
    mode: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One zstd frame: `packed` bytes at `start` of the pack are `size` bytes of `count` files from number `first`."""

    sha256: str
    start: int
    packed: int
    size: int
    first: int
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Archive:
    """An opened pack's index."""

    path: Path
    name: str
    digest: str
    files: tuple[File, ...]
    frames: tuple[Frame, ...]
    head_bytes: int
    """Where the first frame begins: what is before it is always in the package."""

    @property
    def size(self) -> int:
        """Bytes of the whole pack."""
        return self.head_bytes + sum(frame.packed for frame in self.frames)

    @property
    def is_apart(self) -> bool:
        """Whether the file holds no frames, because they lie in S3."""
        return self.path.stat().st_size == self.head_bytes < self.size

    @property
    def bytes_needed(self) -> int:
        """Bytes that the unpacked files take on a file system of 4 KiB blocks, directories included."""
        return sum(-(-file.size // 4096) * 4096 for file in self.files) + 4096 * len(self.files) // 4


def digest_of(path: Path) -> str:
    """The pack's digest, from its header alone. Raises PackError."""
    return _header(path)[2]


def read_guide(path: Path) -> dict[str, Any]:
    """The guide: what of the pack's modules is there and what was removed. Needs no decompressor. Raises PackError."""
    guide: dict[str, Any] = json.loads(_verified(path)[1])
    return guide


def read(path: Path) -> Archive:
    """Read and verify the index of the pack at `path`. Raises PackError when it is cut short or damaged."""
    import zstandard

    digest, guide, packed = _verified(path)
    index = json.loads(zstandard.ZstdDecompressor().decompress(packed))
    head_bytes = HEADER.size + len(guide) + len(packed)
    return Archive(
        path=path,
        name=json.loads(guide)["name"],
        digest=digest,
        files=tuple(File(*entry) for entry in index["files"]),
        frames=_frames(index["frames"], index["sha256"], head_bytes),
        head_bytes=head_bytes,
    )


def _verified(path: Path) -> tuple[str, bytes, bytes]:
    guide_length, index_length, digest = _header(path)
    with path.open("rb") as stream:
        stream.seek(HEADER.size)
        content = stream.read(guide_length + index_length)
    if hashlib.sha256(content).hexdigest() != digest:
        raise PackError(f"{path} is damaged: its index does not have the digest {digest} that the header states")
    return digest, content[:guide_length], content[guide_length:]


def _header(path: Path) -> tuple[int, int, str]:
    try:
        with path.open("rb") as stream:
            magic, guide_length, index_length, digest = HEADER.unpack(stream.read(HEADER.size))
    except struct.error as error:
        raise PackError(f"{path} is damaged: it ends inside its header") from error
    except OSError as error:
        raise PackError(f"{path} can't be read: {error}") from error
    if magic != MAGIC:
        raise PackError(f"{path} is damaged: it does not begin with {MAGIC!r}")
    return guide_length, index_length, digest.hex()


def _frames(entries: list[list[int]], digests: list[str], start: int) -> tuple[Frame, ...]:
    frames = []
    for (packed, size, first, offset, count), sha256 in zip(entries, digests, strict=True):
        frames.append(Frame(sha256, start, packed, size, first, offset, count))
        start += packed
    return tuple(frames)
