from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pytest

from local.launch import PROJECT
from tools.packaging.packer import build, bytecode, check, elf, pack, rules, slim, zipping

SITE = Path(numpy.__file__).parents[1]
RULES = rules.load()


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("tensorflow/include/a/b.h", "headers"),
        ("tensorflow/python/_pywrap_mlir.pyi", "types"),
        ("numpy/_core/tests/test_api.py", "tests"),
        ("numpy/_core/tests/_natype.py", None),
        ("keras/src/layers/core/dense_test.py", "tests"),
        ("keras/src/layers/core/dense.py", None),
        ("keras/src/testing/test_case.py", None),
        ("tensorflow/python/framework/test_util.py", None),
        ("tensorflow/compiler/tf2xla/ops/_xla_ops.so", "xla-ops"),
        ("tensorflow/compiler/tf2xla/ops/gen_xla_ops.py", None),
        ("tensorflow/libtensorflow_cc.so.2", None),
        ("ai_edge_litert/libLiteRt.so", None),
        ("ai_edge_litert/libpywrap_litert_common.so", "litert-bindings"),
        ("ai_edge_litert/libLiteRtWebGpuAccelerator.so", "litert-bindings"),
        ("clang/cindex.py", "clang"),
        ("keras-3.15.1.dist-info/RECORD", "metadata"),
        ("keras-3.15.1.dist-info/METADATA", None),
        ("pillow.libs/libfreetype-57f805ba.so.6.20.6", "drawing"),
        ("pillow.libs/libjpeg-6dc8d115.so.62.4.0", None),
    ],
)
def test_rules_remove_what_they_mean_and_no_more(path: str, rule: str | None) -> None:
    found = RULES.removing(path)
    assert (found.id if found else None) == rule


def test_every_rule_states_a_reason_and_matches_something_installed() -> None:
    installed = [path for path, _ in slim.walk(SITE)]
    unused = {rule.id for rule in RULES.remove + RULES.replace if not any(map(rule.removes, installed))}

    # tensorboard is there for TensorFlow releases that bring it; the installed one may not.
    assert unused <= {"tensorboard"}
    assert all(rule.reason for rule in RULES.remove + RULES.replace)


@pytest.mark.parametrize("table", ["remove = []", "[[remove]]\nid = 'x'\nreason = 'y'"])
def test_incomplete_rules_are_refused(tmp_path: Path, table: str) -> None:
    (tmp_path / "rules.toml").write_text(table)
    with pytest.raises(rules.RulesError, match="is missing"):
        rules.load(tmp_path / "rules.toml")


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("a/b.py", "a.b"),
        ("a/__init__.py", "a"),
        ("a/_x.cpython-313-x86_64-linux-gnu.so", "a._x"),
        ("google/_upb/_message.abi3.so", "google._upb._message"),
        ("a/data.json", None),
        ("a-1.0/b.py", None),
        ("a/lib.so.2", None),
    ],
)
def test_a_file_is_known_by_the_module_it_would_be(path: str, module: str | None) -> None:
    assert slim.module_of(path) == module


def test_a_wholly_removed_package_is_named_once() -> None:
    removed = {
        "gone": ["a/__init__.py", "a/b.py", "a/c/__init__.py"],
        "part": ["k/d.py", "k/e.h"],
        "twice": ["k/f.pyi"],
    }
    assert slim.removed_modules(removed, ["k/__init__.py", "k/f.py"]) == {"gone": ["a"], "part": ["k.d"], "twice": []}


LIBRARIES = [
    "numpy.libs/libscipy_openblas64_*",
    "numpy/_core/_multiarray_umath.*",
    "PIL/_imaging.*.so",
    "pillow.libs/libXau-*",
    "h5py.libs/libhdf5-*",
    "zstandard/backend_c.*",
    "ai_edge_litert/libLiteRt.so",
]


def memory(content: bytes) -> dict[int, bytes]:
    """What the loader maps: address to bytes, but for the ELF and program headers, which state file offsets."""
    offset, count = struct.unpack_from("<32xQ16xH", content)[0], struct.unpack_from("<56xH", content)[0]
    mapped = {}
    for number in range(count):
        kind, _, start, address, _, size, _, _ = struct.unpack_from("<IIQQQQQQ", content, offset + 56 * number)
        if kind == 1:
            segment = bytearray(content[start : start + size])
            for begin, end in ((0, 64), (offset, offset + 56 * count)):
                first, last = max(begin - start, 0), min(end - start, size)
                segment[first:last] = bytes(max(last - first, 0))
            mapped[address] = bytes(segment)
    return mapped


@pytest.mark.parametrize("pattern", LIBRARIES)
def test_shrinking_changes_nothing_that_is_loaded(pattern: str) -> None:
    content = next(SITE.glob(pattern)).read_bytes()
    small = elf.shrink(content)

    assert len(small) < len(content)
    assert memory(small) == memory(content)
    assert elf.needed(small) == elf.needed(content)
    assert elf.shrink(small) == small


def test_what_is_no_library_is_left_alone() -> None:
    assert elf.shrink(b"text") == b"text"


def for_machine(content: bytes, machine: int) -> bytes:
    return content[:18] + struct.pack("<H", machine) + content[20:]


@pytest.mark.parametrize("pattern", LIBRARIES)
def test_a_library_for_arm_stays_as_far_apart_as_its_pages_may_be_large(pattern: str) -> None:
    """Its kernel may have pages of 64 KiB; with x86-64's 4 KiB between segments it could not be mapped there."""
    content = for_machine(next(SITE.glob(pattern)).read_bytes(), elf.AARCH64)
    small = elf.shrink(content)

    assert memory(small) == memory(content)
    before, after = (
        [one for one in elf.segments(each) if one.kind == elf.PT_LOAD and one.file_size] for each in (content, small)
    )
    assert [one.align for one in after] == [min(one.align, 65536) for one in before]
    assert [(a.offset - b.offset) % 65536 for a, b in zip(after, before, strict=True)] == [0] * len(before)


def test_a_library_of_an_unknown_machine_is_left_alone() -> None:
    content = for_machine(next(SITE.glob(LIBRARIES[0])).read_bytes(), 243)  # RISC-V
    assert elf.shrink(content) == content


def test_shrunk_and_compiled_libraries_still_work(tmp_path: Path) -> None:
    paths = [path for path, _ in slim.walk(SITE) if path.startswith(("PIL/", "pillow.libs/", "zstandard/"))]
    slim.stage(SITE, [path for path in paths if not RULES.removing(path)], tmp_path, RULES, {})
    bytecode.compile_tree(tmp_path, lambda _: False)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import io, zstandard; from PIL import Image, features\n"
        "stream = io.BytesIO(); Image.new('RGB', (9, 9), 'red').save(stream, 'JPEG')\n"
        "print(Image.open(stream).getpixel((4, 4)), *map(features.check, ['webp', 'avif', 'libtiff']),"
        " zstandard.decompress(zstandard.compress(b'x')), Image.__file__.startswith(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code, tmp_path], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("(254, 0, 0) True True True b'x' True\n", "")


def write_module(folder: Path, name: str = "tale") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text('"""A tale."""\n\n\ndef told():\n    raise LookupError(__file__)\n')
    return folder


def test_bytecode_replaces_the_source_and_keeps_lines_and_places(tmp_path: Path) -> None:
    bytecode.compile_tree(write_module(tmp_path / "a"), lambda _: False)
    done = subprocess.run(
        [sys.executable, "-c", "import tale; tale.told()"], cwd=tmp_path / "a", capture_output=True, text=True
    )

    assert f'File "{tmp_path}/a/tale.py", line 5, in told' in done.stderr
    assert done.stderr.endswith(f"LookupError: {tmp_path}/a/tale.py\n")


TALES = '''"""Of the module."""
x = "Of the module."
class A:
    """Of the class."""
    def f(self):
        """Of f."""
        return "Of f."
    def g(self):
        """Of g."""
        return lambda: "first", ["second" for _ in "ab"], (yield from ("third" for _ in "ab"))
def h(): return "first"
async def i(): "Of i."
class B: y = "kept"
'''


def test_docstrings_go_and_no_other_text() -> None:
    namespace: dict[str, Any] = {"__name__": "tales"}
    exec(bytecode.without_docstrings(compile(TALES, "tales", "exec")), namespace)  # noqa: S102  (our own text)
    a, h, i, b = (namespace[name] for name in ("A", "h", "i", "B"))

    assert (a.__doc__, a.g.__doc__, i.__doc__, h.__doc__, b.__doc__) == ("", "", "", None, None)
    # A text that is used elsewhere, too, stays in both places.
    assert (namespace["__doc__"], namespace["x"]) == ("Of the module.", "Of the module.")
    assert (a.f.__doc__, a().f()) == ("Of f.", "Of f.")
    assert (h(), b.y, list(a().g())) == ("first", "kept", ["third", "third"])


def test_without_its_bytecode_a_module_says_so_instead_of_being_empty(tmp_path: Path) -> None:
    bytecode.compile_tree(write_module(tmp_path / "a"), lambda _: False)
    shutil.rmtree(tmp_path / "a" / "__pycache__")
    done = subprocess.run([sys.executable, "-c", "import tale"], cwd=tmp_path / "a", capture_output=True, text=True)

    assert "ImportError: tale: only bytecode for CPython 3.13 was packed" in done.stderr


def test_our_own_sources_are_kept(tmp_path: Path) -> None:
    folder = write_module(tmp_path / "a")
    before = (folder / "tale.py").read_text()
    bytecode.compile_tree(folder, lambda _: True)

    assert (folder / "tale.py").read_text() == before
    assert (folder / "__pycache__" / "tale.cpython-313.pyc").exists()


def build_package(folder: Path) -> Path:
    light, packed, service = folder / "light", write_module(folder / "packed", "heavy"), folder / "service.zip"
    write_module(light, "light")
    (light / "x.so").write_bytes(b"library")
    bytecode.compile_tree(light, lambda _: False)
    bytecode.compile_tree(packed, lambda _: False)
    with zipfile.ZipFile(service, "w") as archive:
        archive.writestr("handler.py", "def classify(event, context):\n    return event\n")
        archive.writestr("classifier/web/page.html", "<p>")
    guide = {"modules": ["heavy"], "removed": {}}
    pack.write_pack(packed, folder / "tensorflow.pack", name="tensorflow", level="quick", guide=guide)
    zipping.write(service, light, folder / "tensorflow.pack", folder / "package.zip", level="quick")
    return folder / "package.zip"


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    packages = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        packages.append(build_package(tmp_path / name).read_bytes())

    assert packages[0] == packages[1]


def test_the_package_has_everything_once_readable_and_compiled(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_package(tmp_path)) as archive:
        modes = {entry.filename: oct(entry.external_attr >> 16) for entry in archive.infolist()}

    assert modes == {
        "__pycache__/handler.cpython-313.pyc": "0o100644",
        "__pycache__/light.cpython-313.pyc": "0o100644",
        "classifier/web/page.html": "0o100644",
        "handler.py": "0o100644",
        "light.py": "0o100644",
        "tensorflow.pack": "0o100644",
        "x.so": "0o100755",
    }


def test_over_the_limit_the_largest_parts_are_named(tmp_path: Path) -> None:
    package = build_package(tmp_path)
    total = sum(zipping.parts(package).values())
    check.sizes(package, tmp_bytes=1 << 20, ephemeral_mb=1, limit=total)

    with pytest.raises(
        check.PackageError, match=rf"{total:,} bytes: 1 over {total - 1:,}\n +[\d,]+ (tensorflow\.pack|__pycache__)"
    ):
        check.sizes(package, tmp_bytes=1 << 20, ephemeral_mb=1, limit=total - 1)
    with pytest.raises(check.PackageError, match=r"1,048,577 bytes of /tmp, ephemeralStorageSize gives 1,048,576"):
        check.sizes(package, tmp_bytes=(1 << 20) + 1, ephemeral_mb=1, limit=total)


def test_a_package_that_does_not_work_fails_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(check.PackageError, match=r"No module named 'classifier\.bootstrap'"):
        check.use(build_package(tmp_path), tmp_path / "tensorflow.pack")


FOREIGN = """
import os, platform, subprocess, sys
sys.platform = "darwin"
platform.system, platform.machine = lambda: "Darwin", lambda: "arm64"
for name in ("posix_fallocate", "posix_fadvise", "memfd_create"):
    delattr(os, name)
def refuse(*command, **_):
    raise OSError(f"this host can't run {command}")
subprocess.Popen = subprocess.run = refuse
"""


def test_a_foreign_host_packs_the_same_and_says_what_it_could_not_check(tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    for path, _ in slim.walk(SITE):
        if re.match(r"(PIL|pillow|zstandard|termcolor)[-./]", path):
            (installed / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SITE / path, installed / path)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "sitecustomize.py").write_text(FOREIGN)
    with zipfile.ZipFile(tmp_path / "service.zip", "w") as archive:
        archive.writestr("handler.py", "x = 1\n")
    reports, packages, bills = [], [], []
    for host, paths in (("own", []), ("foreign", [tmp_path / "foreign"])):
        output, work = tmp_path / f"{host}.zip", tmp_path / host
        options: dict[str, object] = {
            "installed": installed,
            "service-zip": tmp_path / "service.zip",
            "output": output,
            "work": work,
        }
        options |= {
            "packs": work / "packs",
            "ephemeral-mb": "2048",
            "machine": "aarch64" if host == "own" else "x86_64",
        }
        given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        path = os.pathsep.join(map(str, [*paths, PROJECT]))
        environment = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, "-m", "tools.packaging.packer", *given]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "NOT CHECKED" in done.stdout
        reports.append(json.loads((work / "package-report.json").read_text()))
        packages.append(output.read_bytes())
        bills.append(json.loads(output.with_suffix(".cdx.json").read_text())["components"])

    assert packages[0] == packages[1]
    assert bills[0] == bills[1]
    assert {"pillow", "zstandard", "termcolor", "libjpeg-turbo", "zstd"} <= {each["name"] for each in bills[0]}
    assert reports[1]["check"] == {"skipped": "this is Darwin, and the package's libraries are Linux's"}
    assert "the package's libraries are for aarch64" in reports[0]["check"]["skipped"]
    digest = reports[1]["pack"]["digest"]
    assert [path.name for path in (tmp_path / "foreign" / "packs").iterdir()] == [digest]


def test_only_the_caches_that_were_used_last_stay(tmp_path: Path) -> None:
    for number in range(build.KEPT_CACHES + 2):
        notes = tmp_path / f"c{number}" / "stages.json"
        notes.parent.mkdir()
        notes.write_text("{}")
        os.utime(notes, (number, number))
    (tmp_path / "half.partial").mkdir()
    build.prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [*(f"c{n}" for n in range(2, 6)), "half.partial"]
