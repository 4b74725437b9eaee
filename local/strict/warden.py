"""Watches one process group: kills it when it passes its memory, and slows it to its share of the CPU.

Lambda's kernel does both: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from threading import Condition, Thread
from typing import TYPE_CHECKING

from local.strict.limits import cores
from local.strict.usage import cpu_seconds, members, resident_bytes

if TYPE_CHECKING:
    from local.strict.cgroup import ControlGroup

TICK_S = 0.01
_TICKS_A_SURVEY = 5
"""How often it is looked for new processes; memory of the known ones is looked at each time."""
_MOST_SAVED_S = 0.02
"""CPU time that may be saved up while little is used, as Linux's quotas do: one period's."""


class Warden:
    """Owns the signals to one process group, as slowing it down and freezing it are the same two signals."""

    def __init__(self, group: int, memory_mb: int, control: ControlGroup) -> None:
        self._group, self._memory_mb, self._control = group, memory_mb, control
        self._changed = Condition()
        self._frozen = self._held = self._ended = False
        self._share: float | None = None
        self._members: tuple[int, ...] = (group,)
        self.peak_mb = 0
        self._control.limit_cpu(None)
        Thread(target=self._run, name="warden", daemon=True).start()

    def throttle(self) -> None:
        """From now on it gets the CPU that comes with its memory; in INIT it had all there is."""
        share = cores(self._memory_mb)
        if not self._control.limit_cpu(share):
            with self._changed:
                self._share = share

    def freeze(self) -> None:
        """Stop the group between two events."""
        with self._changed:
            self._frozen = True
            self._look(survey=True)
            self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        with self._changed:
            self._frozen = self._held = False
            self._signal(signal.SIGCONT)
            self._changed.notify_all()

    def end(self) -> None:
        """The process is gone: stop watching."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _run(self) -> None:
        tick, saved, before, used_before = 0, 0.0, time.monotonic(), 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ended or not self._frozen)
                if self._ended:
                    return
                self._look(survey=tick % _TICKS_A_SURVEY == 0)
                now, used = time.monotonic(), cpu_seconds(self._members)
                if self._share is not None:
                    saved += (now - before) * self._share - max(0.0, used - used_before)
                    saved = min(saved, _MOST_SAVED_S)
                    self._hold(over=saved < 0)
                before, used_before, tick = now, used, tick + 1
            time.sleep(TICK_S)

    def _look(self, *, survey: bool) -> None:
        """Measure; kill the whole group when it is over its memory."""
        if survey:
            self._members = members(self._group) or (self._group,)
        limit = self._memory_mb << 20
        resident = resident_bytes(self._members, limit)
        self.peak_mb = max(self.peak_mb, -(-resident >> 20))
        if resident > limit:
            self.peak_mb = self._memory_mb
            self._signal(signal.SIGKILL)

    def _hold(self, *, over: bool) -> None:
        if over != self._held:
            self._held = over
            self._signal(signal.SIGSTOP if over else signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if not self._ended:
            with suppress(ProcessLookupError):
                os.killpg(self._group, number)
