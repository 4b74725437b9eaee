"""Shrinks ELF shared objects: drops every byte that the dynamic loader never maps, and moves none that it does map.

Symbol tables, debug information and section headers go, as with `strip`; but nothing is laid out anew: addresses stay
what they are, and what follows a gap moves down by whole alignment units. So it works for libraries that `strip` breaks
(those which patchelf has edited), and on every operating system, without binutils.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import astuple, dataclass, replace

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
DYN = struct.Struct("<qQ")
PT_LOAD, PT_DYNAMIC, _PT_GNU_STACK = 1, 2, 0x6474E551
_DT_NEEDED, _DT_STRTAB = 1, 5
X86_64, AARCH64 = 62, 183
PAGES = {X86_64: 4096, AARCH64: 65536}
"""The largest pages that a kernel of each machine may have. A library of any other machine is left as it is."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header: addresses, offsets and sizes in bytes."""

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


def machine(content: bytes) -> int:
    """The machine that an ELF file is for (e_machine): X86_64, AARCH64 or another's number."""
    return int(EHDR.unpack_from(content)[2])


def shrink(content: bytes) -> bytes:
    """Return the same shared object without the bytes that are not loaded, or `content` itself when there are none.

    A library of a machine whose pages are not known is returned as it is.
    """
    if not is_elf(content) or machine(content) not in PAGES:
        return content
    page = PAGES[machine(content)]
    header = list(EHDR.unpack_from(content))
    table_offset, table_count = header[5], header[10]
    headers = segments(content)
    loaded = _ranges(headers, (table_offset, table_offset + PHDR.size * table_count))
    moves = _moves(loaded, page)
    small = bytearray()
    for (start, end), shift in zip(loaded, moves, strict=True):
        small += bytes(start - shift - len(small)) + content[start:end]
    if len(small) >= len(content):
        return content
    header[5] = _moved(table_offset, loaded, moves)
    header[6] = header[12] = header[13] = 0  # no section headers: they describe what is gone
    EHDR.pack_into(small, 0, *header)
    for number, segment in enumerate(headers):
        new = replace(segment, offset=_moved(segment.offset, loaded, moves)) if segment.file_size else segment
        if new.kind == PT_LOAD:
            # Old linkers wrote 2 MiB, for page sizes that x86-64 does not have; it costs 2 MB of zeros a library.
            new = replace(new, align=min(new.align, page))
        pack_segment(small, header[5] + number * PHDR.size, new)
    return bytes(small)


def needed(content: bytes) -> tuple[str, ...]:
    """Names of the libraries that this shared object needs (DT_NEEDED)."""
    headers = segments(content)
    dynamic = next((s for s in headers if s.kind == PT_DYNAMIC), None)
    if dynamic is None:
        return ()
    end = dynamic.offset + dynamic.file_size
    entries = list(DYN.iter_unpack(content[dynamic.offset : end - dynamic.file_size % DYN.size]))
    names = next(value for tag, value in entries if tag == _DT_STRTAB)
    home = next(s for s in headers if s.kind == PT_LOAD and s.vaddr <= names < s.vaddr + s.file_size)
    start = names - home.vaddr + home.offset
    wanted = [start + value for tag, value in entries if tag == _DT_NEEDED]
    return tuple(content[at : content.index(b"\0", at)].decode() for at in wanted)


def segments(content: bytes) -> list[Segment]:
    """The program headers, in order."""
    header = EHDR.unpack_from(content)
    return [Segment(*PHDR.unpack_from(content, header[5] + n * PHDR.size)) for n in range(header[10])]


def pack_segment(content: bytearray, at: int, segment: Segment) -> None:
    """Write one program header at byte `at`."""
    PHDR.pack_into(content, at, *astuple(segment))


def _ranges(headers: list[Segment], table: tuple[int, int]) -> list[tuple[int, int]]:
    """File ranges that are needed, merged and in order; the first one begins at 0, with the ELF header."""
    needed_ranges = [(0, EHDR.size), table]
    needed_ranges += [(s.offset, s.offset + s.file_size) for s in headers if s.file_size and s.kind != _PT_GNU_STACK]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(needed_ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _moves(ranges: list[tuple[int, int]], page: int) -> list[int]:
    """How far down each range can go: by whole pages, which keeps offset and address congruent."""
    moves = [0]
    for (_, before), (start, _) in itertools.pairwise(ranges):
        free = start - moves[-1] - (before - moves[-1])
        moves.append(moves[-1] + free // page * page)
    return moves


def _moved(offset: int, ranges: list[tuple[int, int]], moves: list[int]) -> int:
    for (start, end), shift in zip(ranges, moves, strict=True):
        if start <= offset <= end:
            return offset - shift
    raise ValueError(f"offset {offset} is outside of every segment")
