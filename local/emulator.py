"""An arm64 package on another machine: Debian's Python for arm64 under qemu's user mode, both from Debian's packages.

They are unpacked into build/, with a package state of their own: nothing is installed. Needs `apt-get` and `dpkg-deb`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from local.launch import PROJECT, Code

FOLDER = PROJECT / "build" / "arm64"
SUITE = "trixie"
"""The Debian whose Python is Lambda's."""
PYTHON = "python3.13"
CPU = "neoverse-n1"
"""Graviton2's."""
_CPUINFO = """\
processor	: {number}
BogoMIPS	: 243.75
Features	: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs
CPU implementer	: 0x41
CPU architecture: 8
CPU variant	: 0x3
CPU part	: 0xd0c
CPU revision	: 1

"""
_SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
_PORTABLE = PROJECT / "local" / "portable"


class EmulatorError(Exception):
    """There can be no emulator here; the text says why."""


def arm64_code(package: Path) -> Code:
    """The package in the folder `package`, run by an emulated arm64 Python; tens of times slower than a real one."""
    qemu, root = emulator()
    python = root / "usr" / "bin" / PYTHON
    return Code(
        root=package,
        isolated=True,
        python_path=(_PORTABLE,),
        python=python,
        wrap=(str(qemu), "-cpu", CPU, "-L", str(root)),
    )


def emulator() -> tuple[Path, Path]:
    """qemu and the root of its machine, fetched once. EmulatorError where Debian's packages can't be had."""
    qemu, root = FOLDER / "qemu" / "usr" / "bin" / "qemu-aarch64-static", FOLDER / "root"
    if not FOLDER.exists():
        partial = FOLDER.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        _fetch(partial)
        partial.rename(FOLDER)
    return qemu, root


def _fetch(folder: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb") and _SOURCES.is_file()):
        raise EmulatorError("an emulated arm64 machine is made of Debian's packages, and this is no Debian")
    mirror = re.search(r"^URIs:\s*(\S+)", _SOURCES.read_text(), re.MULTILINE)
    assert mirror is not None
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "state" / "status").touch()
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (folder / "sources").write_text(f"deb [signed-by={keys}] {mirror[1]} {SUITE} main\n")
    given = {
        "Dir::Etc::sourcelist": folder / "sources",
        "Dir::Etc::sourceparts": "-",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "state" / "status",
        "Dir::Cache": folder / "cache",
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "Debug::NoLocking": "1",
    }
    own = [part for name, value in given.items() for part in ("-o", f"{name}={value}")]
    _run(folder, "apt-get", *own, "update")
    _run(
        folder, "apt-get", *own, "--yes", "--no-install-recommends", "--download-only", "install", PYTHON, "libstdc++6"
    )
    for package in sorted((folder / "cache" / "archives").glob("*.deb")):
        _run(folder, "dpkg-deb", "--extract", str(package), str(folder / "root"))
    for name in ("lib", "bin"):
        (folder / "root" / name).symlink_to(f"usr/{name}")
    _describe_cpu(folder / "root")
    _run(folder, "apt-get", "download", "qemu-user-static")
    _run(folder, "dpkg-deb", "--extract", str(next(folder.glob("qemu-user-static*.deb"))), str(folder / "qemu"))


def _describe_cpu(root: Path) -> None:
    """What an arm64 kernel says of its CPU: XNNPACK reads it, and crashes on this machine's that qemu passes on."""
    cpus = root / "sys" / "devices" / "system" / "cpu"
    for number in range(2):
        (cpus / f"cpu{number}" / "topology").mkdir(parents=True)
    for name, value in (("possible", "0-1"), ("present", "0-1"), ("kernel_max", "1")):
        (cpus / name).write_text(f"{value}\n")
    (root / "proc").mkdir()
    (root / "proc" / "cpuinfo").write_text("".join(_CPUINFO.format(number=number) for number in range(2)))


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmulatorError(f"{command[0]} {command[-1]}: {done.stderr.strip()[-500:]}")
