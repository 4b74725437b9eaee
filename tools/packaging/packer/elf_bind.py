"""Binds, inside a shared object, what the dynamic loader would bind to that same object at every start.

`libtensorflow_cc` exports 425,000 symbols that only it uses: 94 MB of tables, 400,000 look-ups by name whenever
it is loaded. Where no other library of the package mentions a symbol, the loader's answer is known now: the relocation
becomes relative (what linking with `-Bsymbolic` gives), and the symbol's name and entry go. Code and data do not move.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.packaging.packer import elf, elf_hash
from tools.packaging.packer import elf_tables as tables
from tools.packaging.packer.elf_tables import UnusualLayoutError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_R_64, _GLOB_DAT, _JUMP_SLOT, _RELATIVE, _IRELATIVE = 1, 6, 7, 8, 37
_NOTYPE, _OBJECT, _FUNC, _GLOBAL, _WEAK = 0, 1, 2, 1, 2
_UNDEFINED, _RESERVED_SECTIONS = 0, 0xFF00
_ALIGN, _NEAR = 16, 64
_PT_PHDR, _READABLE = 6, 4

# Names that libstdc++ or the C++ runtime may define, too: namespaces std and __gnu_cxx, operators new and delete.
_STANDARD = re.compile(rb"_Z(N?K?S|T[A-Z]N?K?S|T?[A-Z]*N9__gnu_cxx|n|d|GVN?Z?N?K?S|Z?N?K?S)")


@dataclass(frozen=True, slots=True)
class Names:
    """Which names may be bound: those that one library alone mentions.

    Names of the C++ standard library, which the system's may define too, only with a namespace of `own` in them.
    """

    mentioned: Mapping[bytes, int]
    own: tuple[str, ...]

    def private(self, names: list[bytes]) -> Any:  # noqa: ANN401
        """For each name whether nobody else can mean it. C names may be looked up by `dlsym`: never private."""
        own = re.compile("|".join(rf"\d{re.escape(name)}" for name in self.own).encode())
        return np.fromiter(
            (
                name.startswith(b"_Z")
                and self.mentioned[name] == 1
                and (not _STANDARD.match(name) or bool(own.search(name)))
                for name in names
            ),
            bool,
            len(names),
        )


def mentioned_names(content: bytes) -> Collection[bytes]:
    """Every dynamic symbol's name, defined or not. Empty for what has no symbol table."""
    if not elf.is_elf(content):
        return ()
    try:
        image = tables.read(content)
        return set(tables.names(image, tables.symbols(image)))
    except UnusualLayoutError:
        return ()


def bind(content: bytes, names: Names) -> bytes:
    """Return the shared object with its private symbols bound, their tables gone and a hole in their place.

    elf.shrink then takes the hole away. Raises UnusualLayoutError when the tables don't lie side by side at the front,
    and for every machine but x86-64, whose relocations these are.
    """
    if elf.machine(content) != elf.X86_64:
        raise UnusualLayoutError(f"it is for machine {elf.machine(content)}, and only x86-64's relocations are known")
    image = tables.read(content)
    table = tables.symbols(image)
    labels = tables.names(image, table)
    data, plt = tables.relocations(image)
    bound = _bindable(table) & names.private(labels) & ~_otherwise_used(len(table), data, plt)
    kept, chosen = elf_hash.arrange(labels, ~bound, tables.hashed_from(image))
    number = np.zeros(len(table), "<u4")
    number[chosen] = np.arange(len(chosen))
    fresh = _Fresh(image)
    fresh.add(tables.SYMTAB, fresh.named(table[chosen], [labels[n] for n in chosen.tolist()]).tobytes())
    if image.has(tables.VERSYM):
        fresh.add(tables.VERSYM, image.array(image.value(tables.VERSYM), "<u2", len(table))[chosen].tobytes())
    for tag in (tables.VERDEF, tables.VERNEED):
        fresh.add_versions(tag)
    fresh.add(tables.GNU_HASH, kept)
    relative, others = _relocations(np.concatenate([data, plt]), table, bound, number)
    fresh.add(tables.RELA, relative.tobytes() + others.tobytes())
    return fresh.write(
        {
            tables.RELASZ: (len(relative) + len(others)) * tables.RELOCATION.itemsize,
            tables.RELACOUNT: len(relative),
            tables.PLTRELSZ: 0,
        }
    )


def _bindable(table: Any) -> Any:  # noqa: ANN401
    kind, binding = table["info"] & 15, table["info"] >> 4
    defined = (table["section"] != _UNDEFINED) & (table["section"] < _RESERVED_SECTIONS)
    return defined & np.isin(kind, (_NOTYPE, _OBJECT, _FUNC)) & np.isin(binding, (_GLOBAL, _WEAK))


def _otherwise_used(count: int, *relocations: Any) -> Any:  # noqa: ANN401
    """Symbols that some relocation uses in another way than by their address."""
    used = np.zeros(count, bool)
    for table in relocations:
        if np.any(table["type"] == _IRELATIVE):
            raise UnusualLayoutError("relocations of kind IRELATIVE")
        used[table["symbol"][~np.isin(table["type"], (_R_64, _GLOB_DAT, _JUMP_SLOT))]] = True
    return used


def _relocations(every: Any, table: Any, bound: Any, number: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Relative ones in order of address, and the others.

    Lazily bound ones become eager (GLOB_DAT): a stub of the procedure linkage table knows its relocation by number, and
    the numbers have changed. So few are left that it costs nothing.
    """
    every = every.copy()
    local = bound[every["symbol"]] & (every["symbol"] != 0)
    own_addend = np.where(every["type"] == _R_64, every["addend"], 0)
    every["addend"][local] = (table["value"][every["symbol"]].astype("<i8") + own_addend)[local]
    every["type"][local] = _RELATIVE
    every["symbol"][local] = 0
    every["type"][every["type"] == _JUMP_SLOT] = _GLOB_DAT
    every["symbol"] = number[every["symbol"]]
    is_relative = every["type"] == _RELATIVE
    relative = every[is_relative]
    return relative[np.argsort(relative["offset"], kind="stable")], every[~is_relative]


class _Fresh:
    """The new tables, laid out from where the old ones began; writes them, the dynamic section and the segments."""

    def __init__(self, image: tables.Tables) -> None:
        self._image = image
        self._begin, self._end = _region(image)
        self._strings = bytearray(b"\0")
        self._known: dict[bytes, int] = {b"": 0}
        self._blocks: dict[int, bytes] = {}

    def add(self, tag: int, block: bytes) -> None:
        self._blocks[tag] = block

    def add_versions(self, tag: int) -> None:
        block = bytearray(tables.version_block(self._image, tag))
        if block:
            count = self._image.value(tables.VERDEFNUM if tag == tables.VERDEF else tables.VERNEEDNUM)
            for at in tables.version_strings(bytes(block), tag, count):
                old = int.from_bytes(block[at : at + 4], "little")
                struct.pack_into("<I", block, at, self._string(self._image.string(old)))
            self.add(tag, bytes(block))

    def named(self, table: Any, names: list[bytes]) -> Any:  # noqa: ANN401
        table = table.copy()
        table["name"] = [self._string(name) for name in names]
        return table

    def write(self, values: dict[int, int]) -> bytes:
        texts = (tables.NEEDED, tables.SONAME, tables.RPATH, tables.RUNPATH)
        dynamic = [(t, self._string(self._image.string(v)) if t in texts else v) for t, v in self._image.dynamic]
        self.add(tables.STRTAB, bytes(self._strings))
        content = bytearray(self._image.content)
        content[self._begin : self._end] = bytes(self._end - self._begin)
        at = self._begin + elf.PHDR.size
        for tag, block in self._blocks.items():
            at += -at % _ALIGN
            content[at : at + len(block)] = block
            values[tag] = at
            at += len(block)
        if at > self._end:
            raise UnusualLayoutError("the new tables are larger than the old ones")
        values |= {tables.STRSZ: len(self._strings), tables.JMPREL: values[tables.RELA]}
        home = next(s for s in self._image.segments if s.kind == elf.PT_DYNAMIC)
        pairs = [(tag, values.get(tag, value)) for tag, value in dynamic]
        content[home.offset : home.offset + 16 * len(pairs)] = np.array(pairs, "<i8").tobytes()
        _split(content, self._image.segments, at, self._end)
        return bytes(content)

    def _string(self, text: bytes) -> int:
        if text not in self._known:
            self._known[text] = len(self._strings)
            self._strings += text + b"\0"
        return self._known[text]


def _region(image: tables.Tables) -> tuple[int, int]:
    """Where the old tables lie: from the end of the program headers, side by side, in the file's first segment."""
    count = len(tables.symbols(image))
    data, plt = tables.relocations(image)
    sizes = {
        tables.SYMTAB: count * tables.SYMBOL.itemsize,
        tables.VERSYM: count * 2,
        tables.VERDEF: len(tables.version_block(image, tables.VERDEF)),
        tables.VERNEED: len(tables.version_block(image, tables.VERNEED)),
        tables.GNU_HASH: elf_hash.size(image, count),
        tables.STRTAB: image.value(tables.STRSZ),
        tables.RELA: data.nbytes,
        tables.JMPREL: plt.nbytes,
    }
    header = elf.EHDR.unpack_from(image.content)
    end = begin = header[5] + header[10] * elf.PHDR.size
    for start, size in sorted((image.value(tag), size) for tag, size in sizes.items() if size):
        if not end <= start < end + _NEAR:
            raise UnusualLayoutError(f"the tables are apart: one ends at {end:#x}, the next begins at {start:#x}")
        end = start + size
    home = image.home(begin)
    if (home.offset, home.vaddr) != (0, 0) or home.flags != _READABLE or end > home.file_size:
        raise UnusualLayoutError("the tables are not in a read-only first segment")
    return begin, end


def _split(content: bytearray, segments: tuple[elf.Segment, ...], end: int, resume: int) -> None:
    """Cut the first loaded segment in two: up to `end`, and again from the page of `resume` on."""
    first = next(s for s in segments if s.kind == elf.PT_LOAD)
    resume -= resume % elf.PAGES[elf.X86_64]
    if end > resume:
        raise UnusualLayoutError("nothing would be saved")
    rest = replace(
        first,
        offset=resume,
        vaddr=resume,
        paddr=resume,
        file_size=first.file_size - resume,
        memory_size=first.memory_size - resume,
    )
    result = []
    for segment in segments:
        if segment is first:
            result += [replace(first, file_size=end, memory_size=end), rest]
        elif segment.kind == _PT_PHDR:
            size = segment.file_size + elf.PHDR.size
            result.append(replace(segment, file_size=size, memory_size=size))
        else:
            result.append(segment)
    header = list(elf.EHDR.unpack_from(content))
    header[10] = len(result)
    elf.EHDR.pack_into(content, 0, *header)
    for number, segment in enumerate(result):
        elf.pack_segment(content, header[5] + number * elf.PHDR.size, segment)
