"""Binding symbols at packaging time, held against what the dynamic loader makes of the library as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow

from tools.packaging.packer import elf, elf_bind, elf_hash, elf_tables, rules, slim

TENSORFLOW = Path(tensorflow.__file__).resolve().parent  # as /proc/self/maps names it
LIBRARY = TENSORFLOW / "libtensorflow_framework.so.2"
RULES = rules.load()

RELOCATED = """
import ctypes, json, os, sys
library = ctypes.CDLL(sys.argv[1])
spans = [line.split() for line in open("/proc/self/maps") if sys.argv[1] in line]
base = min(int(span[0].split("-")[0], 16) for span in spans)
end = max(int(span[0].split("-")[1], 16) for span in spans)
class Info(ctypes.Structure):
    word = ctypes.c_void_p
    _fields_ = [("file", ctypes.c_char_p), ("base", word), ("name", ctypes.c_char_p), ("at", word)]
dladdr = ctypes.CDLL(None).dladdr
dladdr.argtypes = (ctypes.c_void_p, ctypes.POINTER(Info))
def meaning(word):
    if base <= word < end:
        return word - base
    info = Info()
    is_known = dladdr(word, ctypes.byref(info)) and info.file
    return [os.path.basename(info.file.decode()), word - info.base] if is_known else word
offsets = json.load(sys.stdin)
print(json.dumps([meaning(ctypes.c_uint64.from_address(base + offset).value) for offset in offsets]))
"""


@pytest.fixture(scope="module")
def names() -> elf_bind.Names:
    libraries = (path for path in TENSORFLOW.rglob("*") if slim.is_shared_object(path.name) and path.is_file())
    others = (path for path in libraries if path.name not in {"libtensorflow_cc.so.2", LIBRARY.name})
    counts = Counter(elf_bind.mentioned_names(LIBRARY.read_bytes()))
    for path in others:
        counts.update(elf_bind.mentioned_names(path.read_bytes()))
    return elf_bind.Names(counts, RULES.namespaces)


@pytest.fixture(scope="module")
def bound(names: elf_bind.Names, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bound") / LIBRARY.name
    path.write_bytes(elf.shrink(elf_bind.bind(LIBRARY.read_bytes(), names)))
    return path


def labels(content: bytes) -> dict[bytes, tuple[int, int]]:
    image = elf_tables.read(content)
    table = elf_tables.symbols(image)
    entries = zip(table["value"].tolist(), table["section"].tolist(), strict=True)
    return dict(zip(elf_tables.names(image, table), entries, strict=True))


def test_symbols_that_another_library_mentions_keep_their_names_and_addresses(
    names: elf_bind.Names, bound: Path
) -> None:
    before, after = labels(LIBRARY.read_bytes()), labels(bound.read_bytes())
    gone = before.keys() - after.keys()

    assert len(gone) > 40_000
    assert after == {name: before[name] for name in after}
    assert all(names.mentioned[name] == 1 and name.startswith(b"_Z") and before[name][1] for name in gone)


def loaded(content: bytes) -> dict[int, bytes]:
    """What the loader maps at each address from the end of the tables on, but for the dynamic section."""
    image = elf_tables.read(content)
    dynamic = next(segment for segment in image.segments if segment.kind == elf.PT_DYNAMIC)
    memory = {}
    for segment in image.segments:
        if segment.kind == elf.PT_LOAD:
            block = bytearray(content[segment.offset : segment.offset + segment.file_size])
            if segment.vaddr <= dynamic.vaddr < segment.vaddr + segment.file_size:
                start = dynamic.vaddr - segment.vaddr
                block[start : start + dynamic.file_size] = bytes(dynamic.file_size)
            memory[segment.vaddr] = bytes(block)
    return memory


def test_code_and_data_are_the_same_bytes_at_the_same_addresses(bound: Path) -> None:
    image = elf_tables.read(LIBRARY.read_bytes())
    before, after = loaded(LIBRARY.read_bytes()), loaded(bound.read_bytes())
    tables_end = image.value(elf_tables.JMPREL) + image.value(elf_tables.PLTRELSZ)
    front, rest = sorted(after)[:2]

    assert bound.stat().st_size < 0.9 * len(elf.shrink(LIBRARY.read_bytes()))
    assert front == 0
    assert rest <= tables_end
    assert after.pop(rest)[tables_end - rest :] == before.pop(front)[tables_end:]
    del after[front]
    assert after == before


def relocated(path: Path, offsets: list[int]) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", RELOCATED, str(path)],
        input=json.dumps(offsets),
        env={"LD_BIND_NOW": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    result: list[object] = json.loads(done.stdout)
    return result


def test_the_loader_fills_every_place_with_what_it_did_before(bound: Path) -> None:
    offsets = sorted(np.concatenate(elf_tables.relocations(elf_tables.read(LIBRARY.read_bytes())))["offset"].tolist())
    before, after = relocated(LIBRARY, offsets), relocated(bound, offsets)

    assert len(before) > 100_000
    assert [pair for pair in zip(offsets, before, after, strict=True) if pair[1] != pair[2]] == []


def test_the_loader_finds_every_name_that_is_left(bound: Path) -> None:
    left = [(name.decode(), value) for name, (value, section) in labels(bound.read_bytes()).items() if section and name]
    code = (
        "import ctypes, json, sys; library = ctypes.CDLL(sys.argv[1]); dlsym = ctypes.CDLL(None).dlsym;"
        "dlsym.restype = ctypes.c_void_p; dlsym.argtypes = (ctypes.c_void_p, ctypes.c_char_p);"
        "print(sum(dlsym(library._handle, name.encode()) is None for name in json.load(sys.stdin)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bound)],
        input=json.dumps([name for name, _ in left]),
        capture_output=True,
        text=True,
        check=True,
    )

    assert len(left) > 10_000
    assert done.stdout == "0\n"


def test_hashes_are_those_of_the_linker() -> None:
    image = elf_tables.read(LIBRARY.read_bytes())
    table = elf_tables.symbols(image)
    first = elf_tables.hashed_from(image)
    hashed, order = elf_hash.arrange(elf_tables.names(image, table), np.ones(len(table), bool), first)
    buckets = int(np.frombuffer(hashed, "<u4", 1)[0])
    chain = np.frombuffer(hashed[-4 * (len(table) - first) :], "<u4")
    start = image.value(elf_tables.GNU_HASH) + elf_hash.size(image, len(table)) - 4 * (len(table) - first)
    linkers = image.array(start, "<u4", len(table) - first)

    assert buckets == (len(table) - first) // 4
    assert sorted((chain | 1).tolist()) == sorted((linkers | 1).tolist())
    assert (chain | 1).tolist() == (linkers[order[first:] - first] | 1).tolist()


@pytest.mark.parametrize("pattern", ["numpy.libs/libscipy_openblas64_*", "h5py.libs/libhdf5-*"])
def test_what_is_laid_out_otherwise_is_refused(pattern: str) -> None:
    content = next(TENSORFLOW.parent.glob(pattern)).read_bytes()
    with pytest.raises(elf_tables.UnusualLayoutError):
        elf_bind.bind(content, elf_bind.Names(Counter(), ()))


def test_a_library_for_arm_keeps_its_symbols_and_the_packer_says_so(
    names: elf_bind.Names, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(LIBRARY.read_bytes())
    content[18:20] = elf.AARCH64.to_bytes(2, "little")  # e_machine: everything else is as in one that can be bound
    path = f"tensorflow/{LIBRARY.name}"
    (tmp_path / "installed" / "tensorflow").mkdir(parents=True)
    (tmp_path / "installed" / path).write_bytes(content)

    assert RULES.binds(path)
    slim.stage(tmp_path / "installed", [path], tmp_path / "staged", RULES, names.mentioned)

    assert (tmp_path / "staged" / path).read_bytes() == elf.shrink(bytes(content))
    assert "is packed with all its symbols: it is for machine 183" in capsys.readouterr().out
