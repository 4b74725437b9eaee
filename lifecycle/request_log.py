"""The function's log lines that tell which of two models answered: from a file, from stdin, or from CloudWatch Logs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.errors import PlaceError
from lifecycle.memory import SERVICE
from lifecycle.place import s3_trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lifecycle.place import Place

MOST_LINES = 500_000
ROLES = ("stable", "canary")


def group_of(place: Place) -> str:
    """The log group of the stage that the place's last folder is called after, as serverless.yml names it."""
    return f"/aws/lambda/{SERVICE}-{place.prefix.strip('/').rpartition('/')[2]}-classify"


def of_file(name: str, since: str) -> Iterator[dict[str, Any]]:
    """The lines of a file (`-`: stdin), as the local Lambda or `serverless logs` writes them; `since` is ISO 8601."""
    if name == "-":
        yield from _told(sys.stdin, since)
    else:
        with Path(name).open(encoding="utf-8", errors="replace") as file:
            yield from _told(file, since)


def of_cloudwatch(group: str, since: str, begun_ms: int) -> Iterator[dict[str, Any]]:
    """The lines of a log group since then; PlaceError if CloudWatch denies it, or there are more than can be read."""
    import boto3

    with s3_trouble(f"reading the log group {group}"):
        pages = boto3.session.Session().client("logs").get_paginator("filter_log_events")
        events = (
            event["message"]
            for page in pages.paginate(logGroupName=group, startTime=begun_ms, filterPattern='"role"')
            for event in page["events"]
        )
        for count, line in enumerate(_told(events, since)):
            if count >= MOST_LINES:
                raise PlaceError(
                    f"{group} has more than {MOST_LINES:,} lines since {since}: give a part of them, --log"
                )
            yield line


def _told(lines: Iterable[str], since: str) -> Iterator[dict[str, Any]]:
    for text in lines:
        line = _read(text[max(text.find("{"), 0) :])
        if line.get("role") in ROLES and line.get("message") == "request" and str(line.get("time", "")) >= since:
            yield line


def _read(text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
        numbers = int(line["status"]), float(line["ms"])
    except (ValueError, TypeError, LookupError):
        return {}
    return {**line, "status": numbers[0], "ms": numbers[1]}
