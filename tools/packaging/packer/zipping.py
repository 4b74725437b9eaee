"""Writes the final zip: our code as the framework chose it, compiled; the light part; the pack. Reproducible bytes."""

from __future__ import annotations

import tempfile
import zipfile
from collections import Counter
from pathlib import Path

from classifier.bootstrap.dependencies import PACK_NAME
from tools.packaging.packer import bytecode
from tools.packaging.packer.slim import is_shared_object, walk

_DEFLATE_LEVEL = {"quick": 1, "release": 9}


def write(service_zip: Path, light: Path, pack: Path | bytes, output: Path, *, level: str) -> None:
    """Write `output` from the framework's zip of our code, the folder of the light part and the pack, or its head."""
    with tempfile.TemporaryDirectory() as scratch:
        service = Path(scratch)
        with zipfile.ZipFile(service_zip) as source:
            source.extractall(service, [name for name in source.namelist() if not name.endswith("/")])
        bytecode.compile_tree(service, lambda _: True, docstrings=True)
        files = {path: light / path for path, _ in walk(light)}
        files |= {path: service / path for path, _ in walk(service)}
        files[PACK_NAME] = pack if isinstance(pack, Path) else Path(scratch, PACK_NAME)
        if isinstance(pack, bytes):
            files[PACK_NAME].write_bytes(pack)
        partial = output.with_name(output.name + ".partial")
        with zipfile.ZipFile(partial, "w", compresslevel=_DEFLATE_LEVEL[level]) as target:
            for name in sorted(files):
                _add(target, name, files[name], stored=name == PACK_NAME)
        partial.replace(output)


def parts(package: Path) -> Counter[str]:
    """Unzipped bytes of the package by its top-level names."""
    sizes: Counter[str] = Counter()
    with zipfile.ZipFile(package) as archive:
        for entry in archive.infolist():
            sizes[entry.filename.partition("/")[0]] += entry.file_size
    return sizes


def _add(target: zipfile.ZipFile, name: str, source: Path, *, stored: bool) -> None:
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system = 3  # Unix, wherever it is built: Lambda reads the permission bits
    entry.external_attr = (0o100755 if is_shared_object(name) else 0o100644) << 16
    entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with source.open("rb") as stream, target.open(entry, "w") as sink:
        while chunk := stream.read(1 << 20):
            sink.write(chunk)
