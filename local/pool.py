"""A function's sandboxes: idle ones are reused, a burst starts more, up to the account's concurrency."""

from __future__ import annotations

import uuid
from threading import Lock
from typing import TYPE_CHECKING

from local.runtime_api import MAX_EVENT_BYTES
from local.sandbox import Outcome, Sandbox

if TYPE_CHECKING:
    from local.function import Function
    from local.sandbox import Host


class ThrottledError(Exception):
    """Every sandbox that the limit allows is busy: Lambda's TooManyRequestsException."""


class EventTooLargeError(Exception):
    """The event is over Lambda's 6 MB: RequestTooLargeException."""


class Pool:
    """One function's sandboxes."""

    def __init__(self, function: Function, host: Host, concurrency: int) -> None:
        self.function = function
        self._host, self._concurrency = host, concurrency
        self._sandboxes: list[Sandbox] = []
        self._started = 0
        self._closed = False
        self._lock = Lock()

    @property
    def sandboxes(self) -> tuple[Sandbox, ...]:
        """The sandboxes that there are, the one used last in front."""
        with self._lock:
            return tuple(self._sandboxes)

    def invoke(self, event: bytes, request_id: str | None = None) -> Outcome:
        """Run one event; ThrottledError when the limit is reached, EventTooLargeError above 6 MB."""
        if len(event) > MAX_EVENT_BYTES:
            raise EventTooLargeError(len(event))
        return self._reserve().invoke(event, request_id or str(uuid.uuid4()))

    def start_ahead(self) -> None:
        """Start one more sandbox, which then waits for an event; ThrottledError when the limit is reached."""
        self._reserve().start()

    def stop(self, sandbox: Sandbox | None = None) -> None:
        """Stop one sandbox, or all; the next event starts a fresh one."""
        with self._lock:
            leaving = [one for one in self._sandboxes if sandbox in (None, one)]
            self._sandboxes = [one for one in self._sandboxes if one not in leaving]
        for one in leaving:
            one.stop()

    def close(self) -> None:
        """Stop all for good: an event that comes now is throttled, and starts nothing that would be left behind."""
        with self._lock:
            self._closed = True
        self.stop()

    def _reserve(self) -> Sandbox:
        with self._lock:
            if self._closed:
                raise ThrottledError(self.function.name)
            sandbox = next((one for one in self._sandboxes if one.reserve()), None)
            if sandbox is None:
                if len(self._sandboxes) >= self._concurrency:
                    raise ThrottledError(self.function.name)
                self._started += 1
                sandbox = Sandbox(f"{self.function.name}-{self._started}", self.function, self._host)
                sandbox.reserve()
            else:
                self._sandboxes.remove(sandbox)
            self._sandboxes.insert(0, sandbox)
            return sandbox
