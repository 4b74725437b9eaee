"""Makes the dependencies importable: the light part lies ready in the package, TensorFlow's is unpacked when needed.

Without a pack beside the code (a checkout, a virtual environment) everything here does nothing.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from os.path import abspath, dirname, isfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from classifier.bootstrap.archive import Archive
    from classifier.bootstrap.frames import Frames
    from classifier.bootstrap.removed import RemovedModuleFinder

PACK_NAME = "tensorflow.pack"
"""The pack's file name, at the root of the package; without its frames when those lie in S3."""

_ROOT = dirname(dirname(dirname(abspath(__file__))))  # noqa: PTH100, PTH120 - importing pathlib costs 4 ms
_lock = threading.Lock()
_folder: Path | None = None
_finder: RemovedModuleFinder | None = None


def make_importable(root: Path | str = _ROOT) -> None:
    """Put the package's root on `sys.path`, and let a module that the packer removed name the rule. Microseconds."""
    global _finder
    pack = f"{root}/{PACK_NAME}"
    if not isfile(pack):  # noqa: PTH113
        return
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    from classifier.bootstrap.removed import RemovedModuleFinder

    if _finder is None:
        _finder = RemovedModuleFinder(pack)
        sys.meta_path.append(_finder)


def ensure_tensorflow(root: Path | str = _ROOT, parent: Path | None = None) -> dict[str, float]:
    """Unpack TensorFlow's dependencies into `parent` (default: `$TMPDIR` or /tmp) and make them importable.

    Returns milliseconds by phase, with the sum as `unpack`; an empty dict when there is no pack or it was done before.
    Raises PackError; StorageUnavailableError when the pack lies in S3 and does not come for now.
    Safe to call from several threads: one works, the others wait for it.
    """
    global _folder
    from pathlib import Path  # 4 ms of a cold start that needs no TensorFlow

    pack = Path(root, PACK_NAME)
    with _lock:
        if _folder is not None or not pack.is_file():
            return {}
        make_importable(root)
        started = time.perf_counter()
        folder, phases = _unpack_once(pack, parent or Path(os.environ.get("TMPDIR", "/tmp")))  # noqa: S108  (Lambda's only writable place)
        _import_from(folder)
        if _finder:
            _finder.is_unpacked = True
        _folder = folder
        return {**phases, "unpack": round((time.perf_counter() - started) * 1000, 2)}


def _import_from(folder: Path) -> None:
    from classifier.bootstrap.stored import Store

    sys.path_hooks.insert(0, Store(folder))
    sys.path_importer_cache.pop(str(folder), None)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    importlib.invalidate_caches()


def _unpack_once(pack: Path, parent: Path) -> tuple[Path, dict[str, float]]:
    from classifier.bootstrap.unpack import unpack

    return unpack(pack, parent, apart=_in_bucket)


def _in_bucket(archive: Archive) -> Frames:
    """The pack's frames in S3, where the settings say that packs lie."""
    from classifier.bootstrap.frames import FramesOfObject
    from classifier.s3.credentials import environment_credentials
    from classifier.s3.endpoint import Endpoint
    from classifier.s3.storage import S3
    from classifier.settings import Settings

    settings = Settings.from_env(os.environ)
    s3 = S3(Endpoint.from_env(os.environ), environment_credentials)
    return FramesOfObject(archive, s3, settings.pack_bucket, settings.pack_prefix)
