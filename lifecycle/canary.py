"""Look after the canary at PLACE, which `publish --canary 10` or `promote --canary 10` began beside what serves.

status   compare both by the function's log: CloudWatch's, or --log FILE (- for stdin, as of `serverless logs`)
raise N  give it N percent of the callers: those that it has stay with it; a shadow begins to answer
promote  make it what serves everybody
abort    end it: everybody gets what serves, at each function's next check
watch    status again and again; with --abort-on it is ended as soon as it is surely worse
         (an alarm can do that without anybody's watching: `publish --canary 10 --abort-on errors`)

Exit code 1 means that the canary is worse, and for watch that it was ended.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from classifier.bundles.canary import ABORT_ON, live_since
from lifecycle import record, request_log, shares
from lifecycle.comparison import CONFIDENCE, WATCHING_CONFIDENCE, Comparison, Interval, Row, compared
from lifecycle.console import Console, table
from lifecycle.errors import PlaceError, UsageError
from lifecycle.place import Place, find_place
from lifecycle.shares import Share
from lifecycle.timeline import Timeline, read_timeline

if TYPE_CHECKING:
    import argparse

    from lifecycle.record import Record

ACTIONS = ("status", "raise", "promote", "abort", "watch")
MEASURES = {"errors": "errors", "unsure": "not sure", "latency": "median ms"}
NOTICED = "each function follows at its next check, within MODEL_CHECK_SECONDS"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", metavar="PLACE", help="s3://bucket/prefix or a stage")
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("percent", nargs="?", type=shares.percentage, metavar="N", help="of raise: 1 to 100")
    parser.add_argument("--log", metavar="FILE", help="the function's log lines, instead of CloudWatch; - for stdin")
    parser.add_argument("--log-group", metavar="NAME", help="where CloudWatch has them, if not as serverless.yml says")
    parser.add_argument("--abort-on", nargs="+", choices=MEASURES, default=[], help="of watch: what ends the canary")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="of watch: how often to look (60)")
    parser.add_argument("--for", type=float, dest="longest", metavar="SECONDS", help="of watch: how long (for ever)")
    parser.add_argument("--dry-run", action="store_true", help="say what it would do")


def run(options: argparse.Namespace, console: Console) -> int:
    """Do what the action says."""
    if (options.action == "raise") != (options.percent is not None):
        raise UsageError("raise needs a percentage, as in `raise 50`, and nothing else takes one")
    if options.abort_on and options.action != "watch":
        raise UsageError("--abort-on goes with watch")
    place = find_place(options.place)
    timeline = read_timeline(place)
    current, canary = _both(place, timeline)
    match options.action:
        case "status":
            found = _look(options, place, current, canary, CONFIDENCE)
            console.result(*_told(place, current, canary, found))
            return 1 if found.worse() else 0
        case "watch":
            return _watch(options, place, console)
        case "raise":
            share = _checked(canary, Share(options.percent))
            _write(options, place, shares.raised(current, share), timeline)
            line = f"{canary.version} gets {share}, beside {current.version}"
        case "promote":
            if not timeline.is_whole(canary):
                raise PlaceError(f"{canary.version} is lost: the bucket no longer has all the objects of it")
            _write(options, place, shares.promoted(current), timeline)
            line = f"{canary.version} serves everybody, in place of {current.version}"
        case _:
            _write(options, place, shares.ended(current), timeline)
            line = f"the canary {canary.version} has ended, {current.version} serves everybody"
    _tell(options, console, place, line, current, canary)
    return 0


def _both(place: Place, timeline: Timeline) -> tuple[Record, Record]:
    if timeline.current is None or timeline.canary is None:
        why = ": what was swapped by hand has ended it" if shares.canary_of(timeline.current) else ""
        raise PlaceError(f"there is no canary at {place.url}{why}")
    return timeline.current, timeline.canary


def _checked(canary: Record, share: Share) -> Share:
    has = canary.document["percent"]
    if not canary.document.get("shadow") and share.percent <= has:
        raise UsageError(f"{canary.version} has {has} % already, and raise takes nothing away; `abort` takes all")
    return share


def _write(options: argparse.Namespace, place: Place, document: dict[str, Any], timeline: Timeline) -> None:
    if not options.dry_run:
        record.write(place, document, timeline.current)


def _tell(
    options: argparse.Namespace, console: Console, place: Place, line: str, current: Record, canary: Record
) -> None:
    undo = {
        "raise": shares.undo(place),
        "promote": f"scripts/models rollback {place.url} --to {current.version}",
        "abort": "publish it, or promote it from another place, with --canary once more",
    }[options.action]
    document = {
        "place": place.url,
        "action": options.action,
        "stable": current.version,
        "canary": canary.version,
        "percent": options.percent,
        "changed": not options.dry_run,
        "undo": None if options.dry_run else undo,
    }
    if options.dry_run:
        return console.result(document, [f"Would be so: {line}"])
    return console.result(document, [f"{line[0].upper()}{line[1:]}; {NOTICED}", f"Undo     {undo}"])


def _look(options: argparse.Namespace, place: Place, current: Record, canary: Record, confidence: float) -> Comparison:
    """Both models' requests since the canary began, or since the stable model changed."""
    begun = max(int(canary.document["since"]), live_since(current.document, current.written))
    since = datetime.fromtimestamp(begun, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    if options.log:
        lines = request_log.of_file(options.log, since)
    else:
        lines = request_log.of_cloudwatch(options.log_group or request_log.group_of(place), since, begun * 1000)
    return compared(lines, (current.version, canary.version), confidence)


def _watch(options: argparse.Namespace, place: Place, console: Console) -> int:
    """Look until the canary is ended, by us or by others, or time is over."""
    until = None if options.longest is None else time.monotonic() + options.longest
    names = [MEASURES[name] for name in options.abort_on]
    while True:
        timeline = read_timeline(place)
        if timeline.canary is None or timeline.current is None:
            console.result({"place": place.url, "aborted": False, "canary": None}, ["The canary is no more."])
            return 0
        found = _look(options, place, timeline.current, timeline.canary, WATCHING_CONFIDENCE)
        console.progress(_line(found))
        if worse := found.worse(names):
            _write(options, place, shares.ended(timeline.current), timeline)
            document, lines = _told(place, timeline.current, timeline.canary, found)
            verb = "Would abort" if options.dry_run else "Aborted"
            last = f"{verb}  the canary is worse by {', '.join(worse)}; {NOTICED}"
            console.result({**document, "aborted": not options.dry_run}, [*lines, last])
            return 1
        if until is not None and time.monotonic() + options.every > until:
            console.result(*_told(place, timeline.current, timeline.canary, found))
            return 0
        time.sleep(options.every)


def _line(found: Comparison) -> str:
    rows = ", ".join(f"{row.measure}: {row.verdict}" for row in found.rows)
    return f"stable {found.stable.requests} requests, canary {found.canary.requests}; {rows}"


def _told(place: Place, current: Record, canary: Record, found: Comparison) -> tuple[dict[str, Any], list[str]]:
    share = Share(canary.document["percent"], canary.document.get("shadow") is True)
    since = datetime.fromtimestamp(canary.document["since"], UTC).isoformat(timespec="seconds")
    document: dict[str, Any] = {
        "place": place.url,
        "stable": {"version": current.version, "requests": found.stable.requests, "absent": found.stable.absent},
        "canary": {"version": canary.version, "requests": found.canary.requests, "percent": share.percent},
        "shadow": share.shadow,
        "abort_on": canary.document.get(ABORT_ON, []),
        "since": since,
        "confidence": found.confidence,
        "measures": [row.as_dict() for row in found.rows],
        "labels": [row.as_dict() for row in found.label_rows],
        "worse": found.worse(),
        "enough": found.enough,
    }
    lines = [
        f"Stable   {current.version}, {found.stable.requests} requests",
        f"Canary   {canary.version}, {found.canary.requests} requests, {share} since {since}",
        *shares.guard_lines(canary.document.get(ABORT_ON, ())),
    ]
    if found.stable.absent:
        lines.append(
            f"Absent   {found.stable.absent} requests of its callers: it was not loaded, the stable model answered"
        )
    if share.shadow:
        document["disagreement"] = _numbers(found.disagreement)
        document["shadow_failures"] = _numbers(found.shadow_failures)
        computed = found.shadow.computed
        lines.append(f"Differs  {_percent(found.disagreement)} of {computed} requests that both computed")
        lines.append(f"Fails    {_percent(found.shadow_failures)} of {computed + found.shadow.failed} that it tried")
        return document, lines
    heading = ("measure", "stable", "canary", f"difference ({found.confidence:.1%} interval)", "verdict")
    lines += [
        "",
        *table([heading, *(_cells(row) for row in found.rows), *(_cells(row) for row in found.label_rows)]),
        "",
    ]
    return document, [*lines, f"Verdict  {_verdict(found)}"]


def _verdict(found: Comparison) -> str:
    if worse := found.worse():
        return f"worse by {', '.join(worse)}: abort it"
    if found.enough:
        return "no worse than the stable model, as far as this tells: raise or promote it"
    return f"not enough yet: about {found.missing:,} more requests of the canary for a verdict on errors"


def _cells(row: Row) -> tuple[str, ...]:
    if row.measure == "median ms":
        text = [f"{one.estimate:.1f}" for one in (row.stable, row.canary)]
        return (row.measure, *text, f"{row.difference.low:+.1f} to {row.difference.high:+.1f}", row.verdict)
    text = [f"{one.estimate:.2%}" for one in (row.stable, row.canary)]
    return (row.measure, *text, f"{row.difference.low:+.2%} to {row.difference.high:+.2%}", row.verdict)


def _percent(interval: Interval) -> str:
    return f"{interval.estimate:.2%} ({interval.low:.2%} to {interval.high:.2%})"


def _numbers(interval: Interval) -> list[float]:
    return [interval.estimate, interval.low, interval.high]
