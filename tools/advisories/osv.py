"""Asks OSV what it knows of each Python distribution, for the export."""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tools.advisories.export import Record

API = "https://api.osv.dev/v1/query"
"""https://google.github.io/osv.dev/post-v1-query/"""
SINCE = {"tensorflow-cpu": "2022-11"}
"""Of TensorFlow hundreds are older than any version that has a wheel for this Python."""
SINCE_ALL = "2021"
KEPT = ("id", "aliases", "modified", "summary")
TIMEOUT_S = 30


def updated(export: dict[str, Any], names: Iterable[str], *, api: str = API) -> dict[str, Any]:
    """The export with what OSV says now of the Python distributions `names`.

    Of the records that were there, those stay that OSV does not know by id or alias: C libraries, and what was read by
    hand. Raises OSError when OSV does not answer.
    """
    fresh = [record for name in sorted(set(names)) for record in _trimmed(name, _asked(api, name))]
    known = {each for record in fresh for each in (record["id"], *record.get("aliases", []))}
    kept = [each for each in export["advisories"] if not known & {each["id"], *each.get("aliases", [])}]
    today = datetime.now(UTC).date()
    return {
        "sources": {**export["sources"], "osv": f"OSV's API, asked on {today}"},
        "advisories": sorted([*kept, *fresh], key=lambda each: (each["affected"][0]["package"]["name"], each["id"])),
    }


def _asked(api: str, name: str) -> Iterator[Record]:
    question: dict[str, Any] = {"package": {"name": name, "ecosystem": "PyPI"}}
    while True:
        request = urllib.request.Request(api, json.dumps(question).encode(), {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310
            answer = json.loads(reply.read())
        yield from answer.get("vulns", [])
        if not (token := answer.get("next_page_token")):
            return
        question["page_token"] = token


def _trimmed(name: str, records: Iterable[Record]) -> Iterator[Record]:
    """Of each record what is compared: its names, and the ranges of this package's versions."""
    since = SINCE.get(name, SINCE_ALL)
    for record in records:
        affected = [
            {"package": {"ecosystem": "PyPI", "name": name}, "ranges": ranges}
            for one in record.get("affected", [])
            if one["package"]["ecosystem"] == "PyPI" and one["package"]["name"] == name
            if (ranges := [each for each in one.get("ranges", []) if each["type"] == "ECOSYSTEM"])
        ]
        if affected and "withdrawn" not in record and str(record.get("published", record["modified"])) >= since:
            kept = {key: record[key] for key in KEPT if key in record}
            yield {**kept, "affected": affected, "database_specific": {"source": "osv"}}


def rendered(export: dict[str, Any]) -> str:
    """The file's text: an advisory a line, so that a change shows what is new."""
    lines = ",\n".join(json.dumps(each, ensure_ascii=False, sort_keys=True) for each in export["advisories"])
    sources = json.dumps(export["sources"], indent=1, ensure_ascii=False)
    return f'{{\n"sources": {sources},\n"advisories": [\n{lines}\n]\n}}\n'
