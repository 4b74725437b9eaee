"""Make the model that serves at one place the model of another, whole: `promote --from dev --to prod`.

Objects are copied by S3 itself, exactly the versions that serve, and the compiled form with them; then published.json
is written. A model that was not verified is refused, unless --unverified is given: `publish` and `verify` verify, and
so does compiling a bundle that was swapped in by hand.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.bundles.bundle import ROLES, Part, Snapshot
from classifier.bundles.compiled import REPORT, key_of
from lifecycle import memory, record, shares
from lifecycle.console import Console, megabytes
from lifecycle.errors import ModelsError, PlaceError, UsageError
from lifecycle.marks import read_mark
from lifecycle.place import Place, find_place, s3_trouble
from lifecycle.preparing import compiled_facts
from lifecycle.release import MAX_PUT_BYTES, VERSIONS, usable_report
from lifecycle.scoring import share
from lifecycle.timeline import BY_HAND, LOOK_S, Timeline, read_timeline
from lifecycle.traffic.reference import copy_reference

if TYPE_CHECKING:
    import argparse
    from collections.abc import Buffer, Mapping

    from classifier.bundles.compiled import Report
    from lifecycle.shares import Share

NAME = "promote"
READ_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What serves at the source: which objects, what is known of them, and whether anybody checked it."""

    version: str
    parts: Mapping[str, Part]
    sha256: Mapping[str, str]
    facts: Mapping[str, Any]
    report: Report | None
    doubt: str
    """Why it does not count as verified; empty if it does."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="source", required=True, metavar="PLACE", help="s3://bucket/prefix or a stage")
    parser.add_argument("--to", required=True, metavar="PLACE", help="s3://bucket/prefix or a stage")
    parser.add_argument("--unverified", action="store_true", help="promote a model that nobody verified")
    parser.add_argument(
        "--min-accuracy", type=share, metavar="SHARE", help="refuse below this accuracy of `verify --against`"
    )
    shares.add_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what it would do")


def run(options: argparse.Namespace, console: Console) -> int:
    """Promote."""
    source, target = find_place(options.source), find_place(options.to)
    if (source.bucket, source.prefix) == (target.bucket, target.prefix):
        raise UsageError(f"{source.url} can't be promoted to itself")
    there = read_timeline(target)
    before, portion = there.serving, shares.asked(options, target, there)
    candidate = candidate_of(source, read_timeline(source), console)
    if candidate.doubt and not options.unverified:
        raise ModelsError(f"refused: {candidate.version} {candidate.doubt}. Run verify, or say --unverified")
    if options.min_accuracy is not None:
        _require(options.min_accuracy, source, candidate.version)
    if before == candidate.version:
        result = {"from": source.url, "to": target.url, "version": before, "changed": False}
        console.result(result, [f"{before} serves at {target.url} already."])
        return 0
    both = _check_both(candidate, target, there, console) if portion else None
    if not options.dry_run:
        objects = _copy(source, target, candidate, console)
        copy_reference(source, target, candidate.version)
        document = _document(candidate, source, objects)
        if portion is not None and there.current is not None:
            record.write(target, shares.begun(there.current, document, portion), there.current)
        else:
            record.write(target, shares.kept(there.current, document), there.current)
    document, lines = _told(source, target, candidate, there, portion, dry_run=options.dry_run)
    if both:
        document, lines = {**document, "needs": {"both": both.as_dict()}}, [lines[0], f"Both     {both}", *lines[1:]]
    console.result(document, lines)
    return 0


def _check_both(candidate: Candidate, target: Place, there: Timeline, console: Console) -> memory.Beside:
    """Say what memory both models will need; ModelTooLargeError when the function of the stage has less."""
    found = memory.needs_beside(there, candidate.parts["model.weights.h5"].size, candidate.report)
    console.progress(f"both models will need: {found}")
    found.refuse_what_cannot_fit(memory.deployed_mb(memory.stage_of(target)))
    return found


def _require(least: float, place: Place, version: str) -> None:
    """ModelsError unless `verify --against` found this accuracy, by the engine that is worse."""
    known = (read_mark(place, version) or {}).get("accuracy")
    if not known:
        raise ModelsError(f"refused: nobody knows how accurate {version} is. Run verify --against DIR")
    if min(known.values()) < least:
        raise ModelsError(f"refused: {min(known.values()):.1%} of {version}'s answers were right, not {least:.1%}")


def candidate_of(place: Place, timeline: Timeline, console: Console) -> Candidate:
    """What serves at a place; PlaceError if nothing does."""
    newest = timeline.view.newest
    if not isinstance(newest, Snapshot):
        why = "there is no whole bundle" if newest is None else "objects were swapped moments ago"
        raise PlaceError(f"nothing can be promoted from {place.url}: {why}")
    deadline = time.monotonic() + LOOK_S
    report = timeline.store.compiled.report_for(newest, timeline.view.reports, deadline)
    names = {part.role: name for name, part in _named(newest).items()}
    if not timeline.swapped and timeline.current is not None:
        version, facts = timeline.current.version, _kept(timeline.current.document)
        digests = {names[part.role]: part.sha256 or "" for part in newest.parts}
    else:
        console.progress("reading the bundle, which was swapped in by hand, for its fingerprint")
        bundle = timeline.store.bundles.read(newest, time.monotonic() + READ_S)
        version, digests = bundle.fingerprint, _digests({**bundle.parts, "weights": bundle.weights}, names)
        facts = {"source": f"{BY_HAND} at {place.url}", "bytes": newest.size}
    if report is not None:
        facts["agreement"] = {**facts.get("agreement", {}), "compiled": compiled_facts(report)}
    parts = {name: part for name, part in _named(newest).items() if name in digests}
    doubt = _doubt(place, version, timeline, report)
    return Candidate(version=version, parts=parts, sha256=digests, facts=facts, report=report, doubt=doubt)


def _doubt(place: Place, version: str, timeline: Timeline, report: Report | None) -> str:
    mark = read_mark(place, version)
    if mark is not None:
        return "" if mark["passed"] else f"failed verification at {mark['checked']}: {'; '.join(mark['problems'])}"
    if timeline.current is not None and not timeline.swapped and timeline.current.verified:
        return ""
    return "" if report is not None and report.usable else "was never verified"


def _named(snapshot: Snapshot) -> dict[str, Part]:
    """Parts by the name that a bundle's file has."""
    names = {role: name for name, role in reversed(list(ROLES.items()))}
    return {names[part.role]: part for part in snapshot.parts}


def _digests(parts: Mapping[Any, Buffer], names: Mapping[Any, str]) -> dict[str, str]:
    import hashlib

    return {names[role]: hashlib.sha256(data).hexdigest() for role, data in parts.items()}


def _kept(document: Mapping[str, Any]) -> dict[str, Any]:
    """What stays true of a model wherever it is."""
    own = {"objects", "version", "published", "activated", "action", "rolled_back_from", "promoted_from"}
    own |= {"live_since", "canary", *shares.OWN}
    return {name: value for name, value in document.items() if name not in own}


def _copy(source: Place, target: Place, candidate: Candidate, console: Console) -> dict[str, dict[str, Any]]:
    objects = {}
    for name, part in candidate.parts.items():
        console.progress(f"copying {name}, {megabytes(part.size)}")
        key = f"{target.prefix}{VERSIONS}{candidate.version}/{name}"
        answer = copy_object(source, part.key, target, key, part)
        objects[name] = {
            "key": key,
            "version_id": answer.get("VersionId", "null"),
            "etag": answer["CopyObjectResult"]["ETag"].strip('"'),
            "size": part.size,
            "sha256": candidate.sha256[name],
        }
    if candidate.report is not None and usable_report(target, candidate.version) is None:
        _copy_compiled(source, target, candidate.version, candidate.report, console)
    return objects


def _copy_compiled(source: Place, target: Place, version: str, report: Report, console: Console) -> None:
    """The model first, its report last: a report stands for a whole compiled form."""
    for name in (*report.objects, REPORT):
        console.progress(f"copying the compiled form's {name}")
        copy_object(source, key_of(source.prefix, version, name), target, key_of(target.prefix, version, name), None)


def copy_object(source: Place, key: str, target: Place, new_key: str, part: Part | None) -> dict[str, Any]:
    """Let S3 copy an object, exactly the part's version where one is given, and return its answer."""
    if part is not None and part.size > MAX_PUT_BYTES:
        raise ModelsError(f"{key} has {part.size} bytes; S3 copies objects of up to 5 GB in one step")
    origin = {"Bucket": source.bucket, "Key": key}
    condition = {}
    if part is not None and part.version_id not in (None, "null"):
        origin["VersionId"] = str(part.version_id)
    elif part is not None:
        condition = {"CopySourceIfMatch": f'"{part.etag}"'}
    with s3_trouble(f"copying s3://{source.bucket}/{key} to s3://{target.bucket}/{new_key}"):
        answer: dict[str, Any] = target.client.copy_object(
            Bucket=target.bucket, Key=new_key, CopySource=origin, **condition
        )
    return answer


def _document(candidate: Candidate, source: Place, objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    at = record.now()
    own = {"version": candidate.version, "published": at, "activated": at, "action": NAME, "promoted_from": source.url}
    return {**candidate.facts, **own, "verified": not candidate.doubt, "objects": objects}


def _told(
    source: Place, target: Place, candidate: Candidate, there: Timeline, portion: Share | None, *, dry_run: bool
) -> tuple[dict[str, Any], list[str]]:
    before, undo = there.serving, there.undo(target) if portion is None else shares.undo(target)
    document = {
        "from": source.url,
        "to": target.url,
        "version": candidate.version,
        "previous": before,
        "verified": not candidate.doubt,
        "changed": not dry_run,
        "dry_run": dry_run,
        **shares.told(portion),
        "undo": None if dry_run else undo,
    }
    where = f"in place of {before or 'nothing'}" if portion is None else f"for {portion}, beside {before}"
    line = f"{candidate.version} from {source.url} to {target.url}, {where}"
    if dry_run:
        return document, [f"Would promote {line}"]
    guard = shares.guard_lines(portion.abort_on if portion else ())
    return document, [f"Promoted {line}; each function adopts it at its next check", *guard, f"Undo     {undo}"]
