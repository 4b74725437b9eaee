"""Puts a model bundle and sample pictures into S3, the bundle as published: whole, and adopted at once."""

from __future__ import annotations

import hashlib
import json
import mimetypes
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import PUBLISHED, REQUIRED, ROLES, fingerprint
from classifier.bundles.compiled import FOLDER, MODEL, REPORT, parse_report
from classifier.bundles.serving import uses_labels_file
from classifier.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class SeedError(Exception):
    """A folder that was named can't be used; the text says which and why."""


def is_bundle(folder: Path) -> bool:
    """Whether architecture and weights lie in a folder under a bundle's names."""
    there = {role for name, role in ROLES.items() if (folder / name).is_file()}
    return there.issuperset(REQUIRED)


def read_bundle(folder: Path) -> dict[str, bytes]:
    """Return a bundle's files by name; SeedError when architecture or weights are missing."""
    if not folder.is_dir():
        raise SeedError(f"There is no bundle at {folder}: no such folder.")
    files = {name: (folder / name).read_bytes() for name in ROLES if (folder / name).is_file()}
    if missing := set(REQUIRED) - {ROLES[name] for name in files}:
        expected = " and ".join(name for name, role in ROLES.items() if role in missing and name != "weights.h5")
        raise SeedError(f"{folder} is no model bundle: it has no {expected}.")
    return files


def version_of(files: Mapping[str, bytes]) -> str:
    """Return the fingerprint that replies computed by these files carry."""
    digests = {ROLES[name]: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    if not uses_labels_file(files.get("serving.json")):
        digests.pop("labels", None)
    return fingerprint(digests)


def seed_bundle(client: Any, bucket: str, prefix: str, files: Mapping[str, bytes], *, source: str) -> str:  # noqa: ANN401
    """Put a bundle under `prefix` of a versioned bucket, `published.json` last, and return its version."""
    objects: dict[str, dict[str, object]] = {}
    for name, data in files.items():
        put = client.put_object(Bucket=bucket, Key=prefix + name, Body=data)
        objects[name] = {
            "key": prefix + name,
            "version_id": put["VersionId"],
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "etag": put["ETag"].strip('"'),
        }
    version = version_of(files)
    published = {
        "version": version,
        "published": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "source": source,
        "objects": objects,
    }
    body = json.dumps(published, indent=2).encode()
    client.put_object(Bucket=bucket, Key=prefix + PUBLISHED, Body=body, ContentType="application/json")
    return version


def compiled_form(folder: Path, files: Mapping[str, bytes]) -> Path | None:
    """The folder of the compiled form that lies beside a bundle and serves just these files, None if there is none."""
    place = folder / FOLDER / version_of(files)
    try:
        report = parse_report((place / REPORT).read_bytes())
    except (OSError, ModelError):
        return None
    return place if report.usable and (place / MODEL).is_file() else None


def seed_compiled(client: Any, bucket: str, prefix: str, folder: Path) -> None:  # noqa: ANN401
    """Put the compiled forms that lie beside a bundle, if any: the model first, its report last."""
    found = [path for path in folder.glob("compiled/*/*") if path.is_file()]
    for path in sorted(found, key=lambda path: path.name == "report.json"):
        key = prefix + path.relative_to(folder).as_posix()
        client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())


def seed_samples(client: Any, bucket: str, prefix: str, folder: Path) -> list[str]:  # noqa: ANN401
    """Put a folder's pictures under `prefix` and return their keys; SeedError when there are none."""
    kinds = {path: mimetypes.guess_type(path.name)[0] or "" for path in sorted(folder.rglob("*")) if path.is_file()}
    keys = []
    for path, kind in kinds.items():
        if kind.startswith("image/"):
            keys.append(prefix + path.relative_to(folder).as_posix())
            client.put_object(Bucket=bucket, Key=keys[-1], Body=path.read_bytes(), ContentType=kind)
    if not keys:
        raise SeedError(f"There are no pictures in {folder}.")
    return keys
