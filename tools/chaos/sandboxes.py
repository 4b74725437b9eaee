"""Which sandboxes were lost: those that died or ran out of time without our having ended them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from random import Random

    from local.cloud import LocalLambda
    from local.report import Report

_STOPPED_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Kill:
    """A sandbox's process that was ended on purpose, after so many reports had been written."""

    sandbox: str
    at: float
    reports: int


def kill_one(cloud: LocalLambda, chance: Random) -> Kill | None:
    """End the process of any sandbox, whatever it is doing, or take an idle sandbox away; None if there is none."""
    running = [sandbox for sandbox in cloud.sandboxes if sandbox.pid is not None]
    if not running:
        return None
    sandbox = chance.choice(running)
    pid = sandbox.pid
    kill = Kill(sandbox.name, time.monotonic(), len(cloud.reports))
    if sandbox.idle and chance.random() < _STOPPED_SHARE:
        cloud.stop_sandbox(sandbox)
    elif pid is not None:
        os.kill(pid, signal.SIGKILL)
    return kill


def lost(reports: Sequence[Report], kills: Iterable[Kill]) -> list[Report]:
    """The reports that tell of a process's end, or of a new process in an old sandbox, that no kill accounts for."""
    ended = {(kill.sandbox, kill.reports) for kill in kills}
    known: set[str] = set()
    excused: set[str] = set()
    found = []
    for number, report in enumerate(reports):
        excused |= {sandbox for sandbox, reports_before in ended if reports_before <= number}
        ended = {kill for kill in ended if kill[1] > number}
        died = report.status in ("crash", "timeout")
        restarted = report.init_ms is not None and report.sandbox in known
        known.add(report.sandbox)
        if (died or restarted) and report.sandbox not in excused:
            found.append(report)
        if died:
            excused.add(report.sandbox)  # its next start is this death's consequence
        elif restarted:
            excused.discard(report.sandbox)
    return found


def warm_requests(reports: Iterable[Report], answered: set[str], kills: Iterable[Kill]) -> set[str]:
    """Requests to a process that had answered with a model before; `answered` are the requests that were."""
    ended = {(kill.sandbox, kill.reports) for kill in kills}
    warm: set[str] = set()
    serving: set[str] = set()
    for number, report in enumerate(reports):
        serving -= {sandbox for sandbox, reports_before in ended if reports_before == number}
        died = report.status in ("crash", "timeout")
        if died or report.init_ms is not None:
            serving.discard(report.sandbox)
        if report.sandbox in serving:
            warm.add(report.request_id)
        if report.request_id in answered and not died:
            serving.add(report.sandbox)
    return warm
