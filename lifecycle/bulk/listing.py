"""The pictures under a prefix: every object but folders' own and those of the results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lifecycle.bulk.folder import Destination, S3Folder
from lifecycle.errors import UsageError
from lifecycle.place import s3_trouble

if TYPE_CHECKING:
    from lifecycle.place import Place


@dataclass(frozen=True, slots=True)
class Listed:
    """Keys in the order in which S3 lists them, that of their UTF-8 bytes."""

    keys: tuple[str, ...]
    size: int
    """Bytes in all."""


def list_pictures(source: Place, destination: Destination) -> Listed:
    """All pictures of a prefix; UsageError if there are none."""
    found: dict[str, int] = {}
    with s3_trouble(f"listing {source.url}"):
        pages = source.client.get_paginator("list_objects_v2").paginate(Bucket=source.bucket, Prefix=source.prefix)
        for page in pages:
            found |= {item["Key"]: item["Size"] for item in page.get("Contents", []) if _is_picture(item)}
    for name in _results(source, destination, found):
        del found[name]
    if not found:
        raise UsageError(f"there are no objects under {source.url}")
    return Listed(tuple(sorted(found, key=str.encode)), sum(found.values()))


def _is_picture(item: dict[str, Any]) -> bool:
    return not (item["Key"].endswith("/") and item["Size"] == 0)


def _results(source: Place, destination: Destination, found: dict[str, int]) -> list[str]:
    """Keys under the prefix that are results."""
    folder = destination.folder
    if not isinstance(folder, S3Folder) or folder.bucket != source.bucket:
        return []
    own = folder.prefix + destination.name
    return [key for key in found if key == own or key.startswith(folder.prefix + destination.work)]
