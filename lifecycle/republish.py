"""Publish the model that serves once more, with another serving.json: nothing is computed, and nothing else changes.

Architecture and weights are copied by S3 itself, exactly the versions that serve, and so is the compiled form: labels,
temperature and threshold are no part of what was compiled, so that no function needs TensorFlow for it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import REQUIRED, ROLES, Identity, fingerprint
from classifier.bundles.compiled import REPORT, key_of
from lifecycle import record, shares
from lifecycle.console import megabytes
from lifecycle.promote import Candidate, candidate_of, copy_object
from lifecycle.release import VERSIONS, put, usable_report
from lifecycle.serving_options import written_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.bundles.serving import Serving
    from lifecycle.console import Console
    from lifecycle.place import Place
    from lifecycle.timeline import Timeline

JSON = "application/json"
SERVING = "serving.json"


def republish(
    place: Place, timeline: Timeline, serving: Serving, action: str, facts: Mapping[str, Any], console: Console
) -> str:
    """The new version, live if what is published still is what `timeline` saw.

    `serving` must differ from what serves in labels, temperature, threshold or texts only. ConflictError, PlaceError:
    then nothing changed for those who are served.
    """
    found, data = candidate_of(place, timeline, console), written_out(serving)
    parts = {name: part for name, part in found.parts.items() if part.role in REQUIRED}
    digests = {part.role: found.sha256[name] for name, part in parts.items()}
    version = fingerprint({**digests, "serving": hashlib.sha256(data).hexdigest()})
    folder = f"{place.prefix}{VERSIONS}{version}/"
    objects = {}
    for name, part in parts.items():
        console.progress(f"copying {name}, {megabytes(part.size)}")
        answer = copy_object(place, part.key, place, folder + name, part)
        objects[name] = {
            "key": folder + name,
            "version_id": answer.get("VersionId", "null"),
            "etag": answer["CopyObjectResult"]["ETag"].strip('"'),
            "size": part.size,
            "sha256": found.sha256[name],
        }
    objects[SERVING] = put(place, folder + SERVING, data, JSON)
    identity: Identity = frozenset((ROLES[name], str(entry["etag"])) for name, entry in objects.items())
    _put_compiled(place, found, version, identity, data)
    at = record.now()
    size = sum(int(entry["size"]) for entry in objects.values())
    own = {"version": version, "published": at, "activated": at, "action": action, "bytes": size, "verified": True}
    document = {**found.facts, **facts, **own, "objects": objects}
    record.write(place, shares.kept(timeline.current, document), timeline.current)
    return version


def _put_compiled(place: Place, found: Candidate, version: str, identity: Identity, serving: bytes) -> None:
    """The compiled form under the new version's name, its report last: a report stands for a whole compiled form."""
    report = found.report
    if report is None or usable_report(place, version) is not None:
        return
    for name in report.objects:
        copy_object(place, key_of(place.prefix, found.version, name), place, key_of(place.prefix, version, name), None)
    mine = report.under(version, identity, serving, None)
    put(place, key_of(place.prefix, version, REPORT), mine.to_json(), JSON)
