from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from classifier.bootstrap import archive, dependencies
from classifier.bootstrap.archive import PackError
from classifier.bootstrap.unpack import MARKER, _check_space, unpack
from local.launch import PROJECT
from tools.packaging.packer import bytecode, gather, pack

GUIDE = {
    "modules": ["easel", "lib", "zebra"],
    "removed": {"drawing": {"reason": "nothing is drawn", "modules": ["painter", "easel.brush"]}},
}

UNPACK = "import sys; from pathlib import Path; from classifier.bootstrap.unpack import unpack; "


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of every kind: large ones of uneven length over several frames, small ones, an empty one, odd names."""
    monkeypatch.setattr(pack, "LARGE_BYTES", 100_000)
    monkeypatch.setattr(pack, "FRAME_BYTES", 70_001)
    folder = tmp_path / "tree"
    noise = random.Random(7)
    for path, size in {
        "lib/big.so.2": 1_000_003,
        "lib/even.so": 140_002,
        "easel/__init__.py": 0,
        "easel/paper.py": 900,
        "easel/data/space plus+ü.bin": 60_000,
        "zebra.py": 31,
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        text = b"" if path.endswith(".py") else noise.randbytes(size // 2)
        (folder / path).write_bytes(text + b"#" * (size - len(text)))
    bytecode.compile_tree(folder, lambda _: True)
    gather.gather(folder)
    return folder


@pytest.fixture
def packed(tree: Path, tmp_path: Path) -> Path:
    target = tmp_path / "root" / dependencies.PACK_NAME
    target.parent.mkdir()
    pack.write_pack(tree, target, name="tensorflow", level="quick", guide=GUIDE)
    return target


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MARKER
    }


def test_what_was_packed_is_unpacked_whole(tree: Path, packed: Path, tmp_path: Path) -> None:
    folder, phases = unpack(packed, tmp_path / "tmp")

    assert content(folder) == content(tree)
    assert phases.keys() == {"index", "prepare", "write", "rename"}
    assert listed(tmp_path / "tmp") == [folder.name]


def test_it_is_unpacked_once(packed: Path, tmp_path: Path) -> None:
    first, _ = unpack(packed, tmp_path)
    before = (first / MARKER).stat().st_mtime_ns
    again, phases = unpack(packed, tmp_path)

    assert (again, set(phases)) == (first, {"index"})
    assert (first / MARKER).stat().st_mtime_ns == before


def test_one_worker_and_many_give_the_same(tree: Path, packed: Path, tmp_path: Path) -> None:
    for workers in (1, 2, 6):
        folder, _ = unpack(packed, tmp_path / str(workers), workers=workers)
        assert content(folder) == content(tree)


def test_a_damaged_byte_is_never_unpacked_silently(tree: Path, packed: Path, tmp_path: Path) -> None:
    good, expected = packed.read_bytes(), content(tree)
    places = [*range(archive.HEADER.size), *random.Random(3).sample(range(len(good)), 60), len(good) - 1]
    for number, place in enumerate(places):
        packed.write_bytes(good[:place] + bytes([good[place] ^ 0x41]) + good[place + 1 :])
        parent = tmp_path / f"tmp{number}"
        try:
            folder, _ = unpack(packed, parent)
        except PackError as error:
            assert str(packed) in str(error)  # noqa: PT017  (most bytes raise; a few of zstd's do not matter)
            assert not parent.exists() or not listed(parent)
        else:
            assert content(folder) == expected


@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.5, 0.999])
def test_a_pack_that_was_cut_short_is_refused(packed: Path, tmp_path: Path, share: float) -> None:
    good = packed.read_bytes()
    packed.write_bytes(good[: int(len(good) * share)])

    with pytest.raises(PackError, match="damaged"):
        unpack(packed, tmp_path / "tmp")


def test_the_error_names_the_damaged_file(packed: Path, tmp_path: Path) -> None:
    good = bytearray(packed.read_bytes())
    frame = next(f for f in archive.read(packed).frames if f.count == 1)
    good[frame.start + frame.packed // 2] ^= 0xFF
    packed.write_bytes(good)

    with pytest.raises(PackError, match=r"damaged at lib/big\.so\.2"):
        unpack(packed, tmp_path / "tmp")


def test_too_little_space_names_needed_and_free_bytes(packed: Path, tmp_path: Path) -> None:
    opened = archive.read(packed)
    vast = dataclasses.replace(opened, files=(archive.File("vast", 1 << 60, 0o644),))

    with pytest.raises(PackError, match=rf"{vast.bytes_needed + (16 << 20)} bytes needed, \d+ bytes free"):
        _check_space(vast, tmp_path)


def test_a_write_that_fails_half_way_leaves_nothing(packed: Path, tmp_path: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)); "
    done = run(limited + UNPACK + "unpack(Path(sys.argv[1]), Path(sys.argv[2]))", packed, tmp_path / "tmp")

    assert "PackError: can't unpack" in done.stderr
    assert listed(tmp_path / "tmp") == []


@pytest.mark.parametrize("parent", ["/proc/nowhere", "/dev/null/below"])
def test_a_place_that_cannot_be_written_is_named(packed: Path, parent: str) -> None:
    with pytest.raises(PackError, match=f"can't unpack .* into {parent}"):
        unpack(packed, Path(parent))


def test_a_process_killed_anywhere_leaves_a_clean_retry(tree: Path, packed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", UNPACK + "print(flush=True); unpack(Path(sys.argv[1]), Path(sys.argv[2]))"]
    for delay_s in (0, 0.002, 0.005, 0.01, 0.02, 0.03):
        with subprocess.Popen([*command, packed, tmp_path / "tmp"], cwd=PROJECT, stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            time.sleep(delay_s)
            process.send_signal(signal.SIGKILL)
    folder, _ = unpack(packed, tmp_path / "tmp")

    assert content(folder) == content(tree)
    assert listed(tmp_path / "tmp") == [folder.name]


def test_processes_at_once_agree(tree: Path, packed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", UNPACK + "print(unpack(Path(sys.argv[1]), Path(sys.argv[2]))[0])"]
    running = [
        subprocess.Popen([*command, packed, tmp_path / "tmp"], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    folders = {process.communicate()[0].strip() for process in running}

    (folder,) = folders
    assert content(Path(folder)) == content(tree)
    assert listed(tmp_path / "tmp") == [Path(folder).name]


def test_what_others_left_in_tmp_stays(packed: Path, tmp_path: Path) -> None:
    parent = tmp_path / "tmp"
    others = ["tensorflow-0123456789abcdef", "tensorflow-0123456789abcdef.partial-999999", "model.h5.partial-1"]
    for name in others:
        (parent / name).mkdir(parents=True)
        (parent / name / "file").write_text("theirs")
    folder, _ = unpack(packed, parent)

    assert sorted(listed(parent)) == sorted([*others, folder.name])


def test_a_half_unpacked_copy_of_a_process_that_is_gone_is_removed(packed: Path, tmp_path: Path) -> None:
    digest = archive.digest_of(packed)
    gone = subprocess.Popen(["true"])
    gone.wait()
    stale = [tmp_path / f"tensorflow-{digest[:16]}.partial-{pid}" for pid in (gone.pid, os.getpid())]
    for folder in stale:
        folder.mkdir()
    unpack(packed, tmp_path)

    assert not any(folder.exists() for folder in stale)


def test_something_else_in_the_way_is_an_error_and_stays(packed: Path, tmp_path: Path) -> None:
    strange = tmp_path / f"tensorflow-{archive.digest_of(packed)[:16]}"
    strange.mkdir()
    (strange / "file").write_text("theirs")

    with pytest.raises(PackError, match="is in the way"):
        unpack(packed, tmp_path)
    assert content(strange) == {"file": b"theirs"}


def test_without_a_pack_nothing_happens(tmp_path: Path) -> None:
    before = list(sys.path), list(sys.meta_path)
    dependencies.make_importable(tmp_path)

    assert dependencies.ensure_tensorflow(tmp_path) == {}
    assert (sys.path, sys.meta_path) == before


IN_PACKAGE = """
import json, sys, threading
from pathlib import Path
from classifier.bootstrap import dependencies
root, tmp = map(Path, sys.argv[1:])
dependencies.make_importable(root)
def why(name):
    try:
        __import__(name)
    except ImportError as error:
        return str(error)
said = {"before": why("zebra"), "unknown": why("quagga"), "early": why("painter.oil")}
results = []
threads = [threading.Thread(target=lambda: results.append(dependencies.ensure_tensorflow(root, tmp))) for _ in range(4)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
said |= {"removed": why("painter"), "inside": why("easel.brush"), "kept": why("easel.paper"), "after": why("zebra")}
said["unpacked"] = sorted(bool(result) for result in results)
said["phases"] = sorted(max(results, key=len))
print(json.dumps(said))
"""


def test_modules_of_the_pack_are_importable_and_removed_ones_name_their_rule(packed: Path, tmp_path: Path) -> None:
    said = json.loads(run(IN_PACKAGE, packed.parent, tmp_path / "tmp").stdout)
    rule = "the packer's rule 'drawing' removed it (nothing is drawn)"

    assert said == {
        "before": "No module named 'zebra': tensorflow.pack is not unpacked yet",
        "unknown": "No module named 'quagga'",
        "early": "No module named 'painter'" + ": " + rule,
        "removed": "No module named 'painter'" + ": " + rule,
        "inside": "No module named 'easel.brush'" + ": " + rule,
        "kept": None,
        "after": None,
        "unpacked": [False, False, False, True],
        "phases": ["index", "prepare", "rename", "unpack", "write"],
    }


def run(code: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=PROJECT, capture_output=True, text=True)
