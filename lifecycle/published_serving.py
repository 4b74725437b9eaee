"""A published version's serving.json: read, told in lines, and held against the next one's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.documents import read_object
from lifecycle.place import NOT_THERE, Place, error_code, s3_trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lifecycle.record import Record

LABELS_SHOWN = 12
MAX_BYTES = 20_000_000


def of(place: Place, found: Record) -> dict[str, Any]:
    """The version's own serving.json, as it was published; empty if there is none any more."""
    from botocore.exceptions import ClientError

    entry = found.objects.get("serving.json")
    if entry is None:
        return {}
    with s3_trouble(f"reading s3://{place.bucket}/{entry['key']}"):
        try:
            body = place.client.get_object(Bucket=place.bucket, Key=entry["key"], VersionId=entry["version_id"])["Body"]
        except ClientError as error:
            if error_code(error) in NOT_THERE:
                return {}
            raise
        return read_object(body.read(MAX_BYTES), entry["key"])


def lines(serving: Mapping[str, Any]) -> list[str]:
    """Labels, what the output is, and how pictures are made ready, in words."""
    labels, steps = serving.get("labels", []), serving.get("preprocessing", {})
    more = f" and {len(labels) - LABELS_SHOWN} more" if len(labels) > LABELS_SHOWN else ""
    told = [f"Labels   {', '.join(labels[:LABELS_SHOWN])}{more}"] if labels else []
    if steps:
        shown = ", ".join(
            f"{name} {'x'.join(map(str, one)) if isinstance(one, list) else one}" for name, one in steps.items()
        )
        told.append(f"Pictures {shown}")
    if serving.get("output"):
        told.append(f"Output   {serving['output']}")
    if "threshold" in serving:
        told.append(f"Sure     from {serving['threshold']} on; temperature {serving.get('temperature', 'none')}")
    return told


def other_pixels(serving: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """What is done to pictures otherwise than for the model before; empty if nothing is, or nothing is known."""
    now, then = serving.get("preprocessing", {}), before.get("preprocessing", {})
    differing = [name for name in now if then and now[name] != then.get(name)]
    return ", ".join(f"{name} {now[name]} instead of {then.get(name)}" for name in differing)
