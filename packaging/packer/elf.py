"""Shrinks ELF shared objects: drops every byte that the dynamic loader never maps, and moves none that it does map.

Symbol tables, debug information and section headers go, as with `strip`; but nothing is laid out anew: addresses stay
what they are, and what follows a gap moves down by whole alignment units. So it works for libraries that `strip` breaks
(those which patchelf has edited), and on every operating system, without binutils.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass, replace

_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_PHDR = struct.Struct("<IIQQQQQQ")
_DYN = struct.Struct("<qQ")
_PT_LOAD, _PT_DYNAMIC, _PT_GNU_STACK = 1, 2, 0x6474E551
_DT_NEEDED, _DT_STRTAB = 1, 5
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    file_size: int
    memory_size: int
    align: int


def is_elf(content: bytes) -> bool:
    """Whether this is a 64-bit little-endian ELF file."""
    return content[:6] == b"\x7fELF\x02\x01"


def shrink(content: bytes) -> bytes:
    """Return the same shared object without the bytes that are not loaded, or `content` itself when there are none."""
    if not is_elf(content):
        return content
    header = list(_EHDR.unpack_from(content))
    table_offset, table_count = header[5], header[10]
    segments = _segments(content)
    loaded = _ranges(segments, (table_offset, table_offset + _PHDR.size * table_count))
    moves = _moves(loaded)
    small = bytearray()
    for (start, end), shift in zip(loaded, moves, strict=True):
        small += bytes(start - shift - len(small)) + content[start:end]
    if len(small) >= len(content):
        return content
    header[5] = _moved(table_offset, loaded, moves)
    header[6] = header[12] = header[13] = 0  # no section headers: they describe what is gone
    _EHDR.pack_into(small, 0, *header)
    for number, segment in enumerate(segments):
        new = replace(segment, offset=_moved(segment.offset, loaded, moves)) if segment.file_size else segment
        if new.kind == _PT_LOAD:
            # Old linkers wrote 2 MiB, for page sizes that x86-64 does not have; it costs 2 MB of zeros a library.
            new = replace(new, align=min(new.align, _PAGE))
        place = header[5] + number * _PHDR.size
        _PHDR.pack_into(
            small,
            place,
            *(new.kind, new.flags, new.offset, new.vaddr, new.paddr, new.file_size, new.memory_size, new.align),
        )
    return bytes(small)


def needed(content: bytes) -> tuple[str, ...]:
    """Names of the libraries that this shared object needs (DT_NEEDED)."""
    segments = _segments(content)
    dynamic = next((s for s in segments if s.kind == _PT_DYNAMIC), None)
    if dynamic is None:
        return ()
    end = dynamic.offset + dynamic.file_size
    entries = list(_DYN.iter_unpack(content[dynamic.offset : end - dynamic.file_size % _DYN.size]))
    names = next(value for tag, value in entries if tag == _DT_STRTAB)
    home = next(s for s in segments if s.kind == _PT_LOAD and s.vaddr <= names < s.vaddr + s.file_size)
    start = names - home.vaddr + home.offset
    wanted = [start + value for tag, value in entries if tag == _DT_NEEDED]
    return tuple(content[at : content.index(b"\0", at)].decode() for at in wanted)


def _segments(content: bytes) -> list[_Segment]:
    header = _EHDR.unpack_from(content)
    return [_Segment(*_PHDR.unpack_from(content, header[5] + n * _PHDR.size)) for n in range(header[10])]


def _ranges(segments: list[_Segment], table: tuple[int, int]) -> list[tuple[int, int]]:
    """File ranges that are needed, merged and in order; the first one begins at 0, with the ELF header."""
    needed_ranges = [(0, _EHDR.size), table]
    needed_ranges += [(s.offset, s.offset + s.file_size) for s in segments if s.file_size and s.kind != _PT_GNU_STACK]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(needed_ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _moves(ranges: list[tuple[int, int]]) -> list[int]:
    """How far down each range can go: by whole pages, which keeps offset and address congruent."""
    moves = [0]
    for (_, before), (start, _) in itertools.pairwise(ranges):
        free = start - moves[-1] - (before - moves[-1])
        moves.append(moves[-1] + free // _PAGE * _PAGE)
    return moves


def _moved(offset: int, ranges: list[tuple[int, int]], moves: list[int]) -> int:
    for (start, end), shift in zip(ranges, moves, strict=True):
        if start <= offset <= end:
            return offset - shift
    raise ValueError(f"offset {offset} is outside of every segment")
