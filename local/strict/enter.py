"""The program between the local Lambda and a sandbox's process: makes or enters the sandbox's rooms, then becomes it.

Run by path, with the standard library alone: `enter.py keep SPEC` makes a user and a mount namespace and holds them
until its standard input ends; `enter.py run SPEC COMMAND...` enters them, takes on the limits and runs the command.
The rooms: every folder of this machine read-only, /tmp of the stated size, code in /var/task, next to nothing in /dev.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_BIND, _RECURSIVE, _PRIVATE, _DETACH = 4096, 1 << 14, 1 << 18, 2
_NOSUID_NODEV = 2 | 4
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442  # Linux 5.12, the same number everywhere
_DEVICES = ("null", "zero", "full", "random", "urandom")
_OWN = ("tmp", "dev", "proc", "sys", "var", "var/task", "var/runtime", "old")
USER, GROUP = 993, 990
"""Lambda's own numbers, of `sbx_user1051`."""


def main(arguments: list[str]) -> None:
    """Keep or run. A system that allows no namespaces is told on standard output."""
    verb, text, *command = arguments
    spec = json.loads(text)
    if verb == "keep":
        _keep(spec)
        return
    for door in spec["doors"]:
        Path(door).write_text(str(os.getpid()))
    if spec["keeper"]:
        _enter(spec["keeper"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (spec["files"], spec["files"]))
    if spec["keeper"] and not any("pids" in door for door in spec["doors"]):
        resource.setrlimit(resource.RLIMIT_NPROC, (spec["tasks"], spec["tasks"]))  # counted within the namespace
    os.chdir(spec["folder"])
    os.execv(command[0], command)  # noqa: S606 - the local Lambda's own command line


def _keep(spec: dict[str, Any]) -> None:
    try:
        _make_rooms(Path(spec["root"]), spec["binds"], spec["tmp_mb"])
    except OSError as error:
        print(f"{error.strerror}: {error.filename or 'namespace'}", flush=True)
        return
    print("ready", flush=True)
    sys.stdin.read()


def _enter(keeper: int) -> None:
    for kind, flag in (("user", os.CLONE_NEWUSER), ("mnt", os.CLONE_NEWNS)):
        descriptor = os.open(f"/proc/{keeper}/ns/{kind}", os.O_RDONLY)
        os.setns(descriptor, flag)
        os.close(descriptor)


def _make_rooms(root: Path, binds: list[tuple[str, str]], tmp_mb: int) -> None:
    user, group = os.getuid(), os.getgid()
    os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNS)
    own = Path("/proc/self")
    (own / "setgroups").write_text("deny")
    (own / "uid_map").write_text(f"{USER} {user} 1")
    (own / "gid_map").write_text(f"{GROUP} {group} 1")
    _mount(None, Path("/"), None, _RECURSIVE | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NOSUID_NODEV, "mode=755,size=1m")
    _furnish(root, binds)
    _read_only(root)
    _mount("tmpfs", root / "tmp", "tmpfs", _NOSUID_NODEV, f"mode=1777,size={tmp_mb}m")
    _become_root(root)


def _furnish(root: Path, binds: list[tuple[str, str]]) -> None:
    for name in _OWN:
        (root / name).mkdir()
    for folder in (Path("/"), Path("/var")):
        for source in folder.iterdir():
            target = root / source.relative_to("/")
            if not target.exists() and source != Path("/var/tmp"):  # noqa: S108 - not used, kept out
                _mirror(source, target)
    for name in ("proc", "sys"):
        _mount(f"/{name}", root / name, None, _BIND | _RECURSIVE)
    for name in _DEVICES:
        device = root / "dev" / name
        device.touch()
        _mount(f"/dev/{name}", device, None, _BIND)
    for name, number in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd{number}")
    for outside, inside in binds:
        target = root / inside.lstrip("/")
        target.mkdir(exist_ok=True)
        _mount(outside, target, None, _BIND | _RECURSIVE)


def _mirror(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(source.readlink())
    elif source.is_dir():
        target.mkdir()
        _mount(str(source), target, None, _BIND | _RECURSIVE)


def _read_only(root: Path) -> None:
    attributes = (ctypes.c_uint64 * 4)(1, 0, 0, 0)  # MOUNT_ATTR_RDONLY set, nothing cleared
    size, recursive, here = 32, 0x8000, -100
    if _LIBC.syscall(_MOUNT_SETATTR, here, os.fsencode(root), recursive, ctypes.byref(attributes), size):
        _fail("mount_setattr")


def _become_root(root: Path) -> None:
    number = _PIVOT_ROOT[os.uname().machine]
    if _LIBC.syscall(number, os.fsencode(root), os.fsencode(root / "old")):
        _fail("pivot_root")
    os.chdir("/")
    if _LIBC.umount2(b"/old", _DETACH):
        _fail("umount")


def _mount(source: str | None, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if part is None else os.fsencode(part) for part in (source, str(target), kind, data)]
    if _LIBC.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]):
        _fail(str(target))


def _fail(what: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    main(sys.argv[1:])
