"""The stages in order: slim, compile, pack (kept in a cache by their inputs), then zip, check, report.

The pack goes into the zip, or beside it, under its digest, with only its index in the zip: deploying puts it into S3.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.bootstrap import archive
from classifier.bootstrap.dependencies import PACK_NAME
from tools.packaging.packer import bytecode, check, gather, pack, rules, sbom, slim, zipping

if TYPE_CHECKING:
    from collections.abc import Iterator

LIGHT = "light"
KEPT_CACHES = 4
"""Two levels for each of two architectures; what came before is deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to build, from what, at which level of pack.LEVELS."""

    installed: Path
    service_zip: Path
    output: Path
    work: Path
    level: str
    ephemeral_mb: int
    machine: str
    """Of the functions, as `uname -m` names it."""
    packs: Path | None
    """The folder that the pack goes to, under its digest; None: into the zip."""


@dataclass(slots=True)
class _Stages:
    """Seconds of each stage, and bytes by distribution after it."""

    seconds: dict[str, float] = field(default_factory=dict)
    distributions: dict[str, dict[str, int]] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 2)
        print(f"  {name}: {self.seconds[name]:.1f} s", flush=True)

    def measure(self, name: str, sizes: Counter[str]) -> None:
        self.distributions[name] = dict(sorted(sizes.items()))


def build(order: Order) -> dict[str, Any]:
    """Build the package and return the report. Raises PackageError when it is over a limit or does not work."""
    bytecode.require_lambdas_python()
    folder, dependencies = _dependencies(order)
    stages = _Stages(dict(dependencies["seconds"]), dependencies["distributions"])
    whole = folder / PACK_NAME
    with stages.timed("zip"):
        zipping.write(order.service_zip, folder / LIGHT, _packed(order, whole), order.output, level=order.level)
    report = _report(order, folder, dependencies, stages)
    sbom.write(order.output.with_suffix(".cdx.json"), order.output, whole, dependencies["components"])
    check.sizes(order.output, tmp_bytes=report["tmp_bytes"], ephemeral_mb=order.ephemeral_mb)
    with stages.timed("check"):
        report["check"] = check.run(order.output, whole, order.machine)
    report["seconds"] = stages.seconds
    return report


def _packed(order: Order, whole: Path) -> bytes | Path:
    """What of the pack is in the zip."""
    if order.packs is None:
        return whole
    order.packs.mkdir(parents=True, exist_ok=True)
    apart = order.packs / archive.digest_of(whole)
    apart.unlink(missing_ok=True)
    try:
        apart.hardlink_to(whole)
    except OSError:  # another volume, or a file system without links
        shutil.copyfile(whole, apart)
    return pack.head(whole)


def _report(order: Order, folder: Path, dependencies: dict[str, Any], stages: _Stages) -> dict[str, Any]:
    parts = zipping.parts(order.output)
    index = archive.read(folder / PACK_NAME)
    return {
        "package_bytes": order.output.stat().st_size,
        "unzipped_bytes": sum(parts.values()),
        "limit_bytes": check.UNZIPPED_LIMIT,
        "direct_upload": order.output.stat().st_size <= check.DIRECT_UPLOAD_LIMIT,
        "largest_parts": dict(parts.most_common(10)),
        "distributions": stages.distributions,
        "removed": dependencies["removed"],
        "pack": {
            "bytes": (folder / PACK_NAME).stat().st_size,
            "unpacked_bytes": sum(file.size for file in index.files),
            "files": len(index.files),
            "frames": len(index.frames),
            "level": order.level,
            "zstd_level": pack.LEVELS[order.level],
            "digest": index.digest,
            "apart": order.packs is not None,
        },
        "machine": order.machine,
        "tmp_bytes": index.bytes_needed,
        "cached": dependencies["cached"],
        "seconds": stages.seconds,
    }


def _dependencies(order: Order) -> tuple[Path, dict[str, Any]]:
    """The folder with the light part and the pack, built anew only when something that decides them has changed."""
    folder = order.work / "cache" / _key(order)
    notes = folder / "stages.json"
    if notes.is_file():
        print(f"  dependencies unchanged: {folder.name[:12]}")
        notes.touch()  # the newest is what was used last
        return folder, json.loads(notes.read_text()) | {"cached": True}
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    result = _build_dependencies(order, partial)
    (partial / "stages.json").write_text(json.dumps(result))
    partial.rename(folder)
    prune(folder.parent)
    return folder, result | {"cached": False}


def prune(cache: Path) -> None:
    """Leave the `KEPT_CACHES` slimmed dependencies that were used last: each has 200 MB."""
    used = sorted(cache.glob("*/stages.json"), key=lambda notes: notes.stat().st_mtime, reverse=True)
    for notes in used[KEPT_CACHES:]:
        shutil.rmtree(notes.parent, ignore_errors=True)


def _key(order: Order) -> str:
    """Of everything that decides the bytes: what is installed, the rules, this code, the level, Python and zstd."""
    import zstandard

    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(json.dumps(sorted(slim.walk(order.installed))).encode())
    for path in (*sources, rules.RULES_FILE, sbom.NATIVES_FILE, order.installed / "requirements.txt"):
        digest.update(path.read_bytes() if path.is_file() else b"")
    digest.update(repr((order.level, importlib.util.MAGIC_NUMBER, zstandard.ZSTD_VERSION)).encode())
    return digest.hexdigest()


def _build_dependencies(order: Order, folder: Path) -> dict[str, Any]:
    stages, all_rules = _Stages(), rules.load()
    light, packed = folder / LIGHT, folder / "packed"
    with stages.timed("slim"):
        plan = slim.plan(order.installed, all_rules)
        stages.measure("installed", plan.bytes_installed)
        stages.measure("slimmed", plan.bytes_kept)
        mentioned = slim.mentioned(order.installed, plan, all_rules)
        slim.stage(order.installed, plan.light, light, all_rules, mentioned)
        slim.stage(order.installed, plan.pack, packed, all_rules, mentioned)
        stages.measure("shrunk", _sizes(light) + _sizes(packed))
    with stages.timed("compile"):
        found = sbom.components(order.installed, {"package": (light, plan.light), "pack": (packed, plan.pack)})
        bytecode.compile_tree(light, all_rules.keeps_source)
        bytecode.compile_tree(packed, all_rules.keeps_source)
        stages.measure("compiled", _sizes(light) + _sizes(packed))
        gather.gather(packed)
    with stages.timed("pack"):
        modules = slim.removed_modules(plan.removed, plan.light + plan.pack)
        guide = {
            "modules": sorted({path.partition("/")[0].partition(".")[0] for path in plan.pack}),
            "removed": {
                r.id: {"reason": r.reason, "modules": modules[r.id]} for r in all_rules.remove if r.id in modules
            },
        }
        pack.write_pack(packed, folder / PACK_NAME, name=Path(PACK_NAME).stem, level=order.level, guide=guide)
    shutil.rmtree(packed)
    return {
        "components": found,
        "seconds": stages.seconds,
        "distributions": stages.distributions,
        "removed": {
            rule: {"files": len(paths), "bytes": sum((order.installed / path).stat().st_size for path in paths)}
            for rule, paths in sorted(plan.removed.items())
        },
    }


def _sizes(folder: Path) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for path, size in slim.walk(folder):
        sizes[slim.distribution_of(path)] += size
    return sizes
