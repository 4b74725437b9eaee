"""Canaries under load: the other good model, or a broken one, for a share of the callers or as a shadow.

What is written is what `scripts/models` writes, on the same condition: that nobody else published meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local.seed import version_of
from tools.chaos.swaps import OBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from tools.chaos.swaps import Bucket

type Document = dict[str, Any]
type Files = Sequence[Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that is done to a canary: it changes the document, or can't just now."""

    name: str
    change: Callable[[Document, Bucket, Files, Random], Document | None]

    def run(self, bucket: Bucket, files: Files, chance: Random) -> bool:
        """Whether it was done: there is something sound published, and nobody else wrote meanwhile."""
        key = f"{bucket.prefix}published.json"
        try:
            got = bucket.client.get_object(Bucket=bucket.name, Key=key)
            document = json.loads(got["Body"].read())
            if not isinstance(document, dict) or "version" not in document:
                return False
            since = document.setdefault("live_since", int(got["LastModified"].timestamp()))
            changed = self.change(document, bucket, files, chance)
            if changed is None or not isinstance(since, int):
                return False
            root = _at_the_root(bucket)
            if any(item["LastModified"] >= got["LastModified"] and not _pinned(document, item) for item in root):
                return False  # swapped by hand, as `scripts/models` would say
            changed["replaced"] = {item["Key"].removeprefix(bucket.prefix): item["ETag"].strip('"') for item in root}
            body = json.dumps(changed).encode()
            bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body, IfMatch=got["ETag"])
        except (ClientError, ValueError):
            return False
        return True


def _at_the_root(bucket: Bucket) -> list[dict[str, Any]]:
    listed = bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=bucket.prefix, Delimiter="/")
    return [item for item in listed.get("Contents", []) if item["Key"].removeprefix(bucket.prefix) in OBJECTS]


def _pinned(document: Document, item: Mapping[str, Any]) -> bool:
    etags = {str(entry.get("etag")) for entry in document["objects"].values()}
    return item["ETag"].strip('"') in etags


def _stored(bucket: Bucket, files: Mapping[str, bytes], version: str) -> Document:
    objects = {}
    for name, data in files.items():
        key = f"{bucket.prefix}versions/{version}/{name}"
        put = bucket.client.put_object(Bucket=bucket.name, Key=key, Body=data)
        pin = {"key": key, "version_id": put["VersionId"], "etag": put["ETag"].strip('"'), "size": len(data)}
        objects[name] = {**pin, "sha256": hashlib.sha256(data).hexdigest()}
    return objects


def _beginning(files: Mapping[str, bytes], document: Document, bucket: Bucket, chance: Random) -> Document:
    version = version_of(files)
    canary: Document = {"version": version, "objects": _stored(bucket, files, version), "since": int(time.time()) + 1}
    canary |= {"percent": chance.randrange(10, 91)} | ({"shadow": True} if chance.random() < 0.3 else {})
    return {**document, "canary": canary}


def _begin(document: Document, bucket: Bucket, files: Files, chance: Random) -> Document | None:
    """The other model, or now and then the very same."""
    others = [one for one in files if version_of(one) != document["version"]]
    return _beginning(chance.choice([*others, *others, *files]), document, bucket, chance)


def _begin_broken(document: Document, bucket: Bucket, files: Files, chance: Random) -> Document | None:
    """Its architecture is cut off, a digest untrue, an object gone, or what is said of it is nonsense."""
    changed = _beginning(chance.choice(files), document, bucket, chance)
    canary = changed["canary"]
    match chance.randrange(4):
        case 0:
            cut = {**files[0], "architecture.json": files[0]["architecture.json"][:-100]}
            return _beginning(cut, document, bucket, chance)
        case 1:
            canary["objects"]["architecture.json"]["sha256"] = "0" * 64
        case 2:
            canary["objects"]["model.weights.h5"]["version_id"] = "gone"
        case _:
            canary["percent"] = chance.choice([1000, "10", None])
    return changed


def _raise(document: Document, _: Bucket, _files: Files, chance: Random) -> Document | None:
    canary = document.get("canary")
    if not isinstance(canary, dict):
        return None
    return {**document, "canary": {**canary, "percent": chance.randrange(50, 101)}}


def _promote(document: Document, bucket: Bucket, files: Files, _: Random) -> Document | None:
    canary = document.get("canary")
    good = {version_of(one): one for one in files}
    if not isinstance(canary, dict) or canary.get("version") not in good:
        return None
    objects = _stored(bucket, good[canary["version"]], canary["version"])  # a broken one may bear a good one's version
    return {"version": canary["version"], "objects": objects, "live_since": canary["since"]}


def _abort(document: Document, _: Bucket, _files: Files, _chance: Random) -> Document | None:
    return {name: value for name, value in document.items() if name != "canary"} if "canary" in document else None


ACTS = (
    Act("begun", _begin),
    Act("begun broken", _begin_broken),
    Act("raised", _raise),
    Act("promoted", _promote),
    Act("aborted", _abort),
)
