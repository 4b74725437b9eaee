"""Reads the tables of a shared object that its dynamic section names: symbols, strings, relocations, versions.

Layouts: System V ABI, chapter 5 (https://www.sco.com/developers/gabi/latest/contents.html) and, for DT_GNU_HASH,
binutils and glibc (elf/dl-lookup.c). 64-bit little-endian only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.packaging.packer import elf

if TYPE_CHECKING:
    from collections.abc import Iterator

SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
RELOCATION = np.dtype([("offset", "<u8"), ("type", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])

NEEDED, PLTRELSZ, STRTAB, SYMTAB, RELA, RELASZ, STRSZ, SONAME, RPATH = 1, 2, 5, 6, 7, 8, 10, 14, 15
JMPREL, RUNPATH, GNU_HASH, VERSYM, RELACOUNT, VERDEF, VERDEFNUM, VERNEED, VERNEEDNUM = (
    23, 29, 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFF9, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF,
)  # fmt: skip


class UnusualLayoutError(ValueError):
    """The shared object is laid out in a way that this module does not know; the text says which."""


@dataclass(frozen=True, slots=True)
class Tables:
    """A shared object's bytes with its dynamic section, (tag, value) in order."""

    content: bytes
    segments: tuple[elf.Segment, ...]
    dynamic: tuple[tuple[int, int], ...]

    def value(self, tag: int) -> int:
        """The value of the first entry with this tag. Raises UnusualLayoutError when there is none."""
        for name, value in self.dynamic:
            if name == tag:
                return value
        raise UnusualLayoutError(f"no dynamic entry {tag:#x}")

    def has(self, tag: int) -> bool:
        """Whether the dynamic section has an entry with this tag."""
        return any(name == tag for name, _ in self.dynamic)

    def home(self, address: int) -> elf.Segment:
        """The loaded segment that holds `address`."""
        for segment in self.segments:
            if segment.kind == elf.PT_LOAD and segment.vaddr <= address < segment.vaddr + segment.file_size:
                return segment
        raise UnusualLayoutError(f"no segment holds address {address:#x}")

    def offset(self, address: int) -> int:
        """Where in the file the byte of this address lies."""
        home = self.home(address)
        return address - home.vaddr + home.offset

    def array(self, address: int, dtype: Any, count: int) -> Any:  # noqa: ANN401  (numpy's arrays of records)
        """`count` records at `address`, read-only."""
        return np.frombuffer(self.content, dtype, count, self.offset(address))

    def string(self, at: int) -> bytes:
        """The string at `at` of the string table."""
        start = self.offset(self.value(STRTAB)) + at
        return self.content[start : self.content.index(b"\0", start)]


def read(content: bytes) -> Tables:
    """Read the dynamic section. Raises UnusualLayoutError when there is none."""
    segments = tuple(elf.segments(content))
    dynamic = next((s for s in segments if s.kind == elf.PT_DYNAMIC), None)
    if dynamic is None:
        raise UnusualLayoutError("no dynamic section")
    pairs = np.frombuffer(content, "<i8", dynamic.file_size // 16 * 2, dynamic.offset).reshape(-1, 2).tolist()
    end = next((n for n, (tag, _) in enumerate(pairs) if tag == 0), len(pairs))
    return Tables(content, segments, tuple((tag, value) for tag, value in pairs[:end]))


def hashed_from(tables: Tables) -> int:
    """Number of the first symbol in the hash table; those before it are undefined or local."""
    return int(tables.array(tables.value(GNU_HASH), "<u4", 4)[1])


def symbols(tables: Tables) -> Any:  # noqa: ANN401
    """All dynamic symbols, as an array of SYMBOL. Their number follows from the hash table's last chain."""
    start = tables.value(GNU_HASH)
    buckets, first, words, _ = (int(n) for n in tables.array(start, "<u4", 4))
    last = int(tables.array(start + 16 + words * 8, "<u4", buckets).max())
    if last < first:
        return tables.array(tables.value(SYMTAB), SYMBOL, first)
    chain = start + 16 + words * 8 + buckets * 4
    offset = tables.offset(chain)
    while not tables.content[offset + (last - first) * 4] & 1:
        last += 1
    return tables.array(tables.value(SYMTAB), SYMBOL, last + 1)


def names(tables: Tables, table: Any) -> list[bytes]:  # noqa: ANN401
    """The name of each symbol in `table`."""
    start = tables.offset(tables.value(STRTAB))
    strings = tables.content[start : start + tables.value(STRSZ)]
    return [strings[at : strings.index(b"\0", at)] for at in table["name"].tolist()]


def relocations(tables: Tables) -> tuple[Any, Any]:
    """The relocations of data (DT_RELA) and those of the procedure linkage table (DT_JMPREL)."""
    found = []
    for start, size in ((RELA, RELASZ), (JMPREL, PLTRELSZ)):
        count = tables.value(size) // RELOCATION.itemsize if tables.has(size) else 0
        found.append(tables.array(tables.value(start), RELOCATION, count) if count else np.empty(0, RELOCATION))
    return found[0], found[1]


def version_strings(block: bytes, tag: int, count: int) -> Iterator[int]:
    """Offsets in `block` of each 32-bit number that points into the string table (Verdaux, Verneed, Vernaux)."""
    at = 0
    for _ in range(count):
        entry = np.frombuffer(block, "<u2", 10, at)
        words = np.frombuffer(block, "<u4", 4 if tag == VERNEED else 5, at)
        if tag == VERNEED:  # version, count; file, aux, next
            auxes, aux, following = int(entry[1]), at + int(words[2]), int(words[3])
            yield at + 4
            name, step = 8, 12
        else:  # version, flags, index, count; hash, aux, next
            auxes, aux, following = int(entry[3]), at + int(words[3]), int(words[4])
            name, step = 0, 4
        for _ in range(auxes):
            yield aux + name
            aux += int(np.frombuffer(block, "<u4", 1, aux + step)[0])
        at += following


def version_block(tables: Tables, tag: int) -> bytes:
    """The bytes of DT_VERDEF or DT_VERNEED, up to the end of its last auxiliary entry."""
    if not tables.has(tag):
        return b""
    start = tables.offset(tables.value(tag))
    count = tables.value(VERDEFNUM if tag == VERDEF else VERNEEDNUM)
    tail = tables.content[start : start + 65536]
    return tail[: max(version_strings(tail, tag, count)) + 8]  # name and next end an auxiliary entry of either kind
