"""Asynchronous invocation, as S3's events get it: queued, and tried again when the function fails or is busy.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

from local.pool import ThrottledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.pool import Pool

_BUSY_S = 0.5


class EventQueue:
    """One function's events. `retry_s` are the pauses before the second try and the third; Lambda's are 60 and 120."""

    def __init__(
        self,
        pool: Pool,
        concurrency: int,
        retry_s: tuple[float, ...],
        log: Callable[[str], None],
        supply: Callable[[str], bool] | None = None,
    ) -> None:
        self._pool, self._retry_s, self._log, self._supply = pool, retry_s, log, supply
        self._closing = Event()
        self._workers = ThreadPoolExecutor(concurrency, thread_name_prefix="events")

    def put(self, event: object) -> None:
        """Queue one event."""
        if not self._closing.is_set():
            self._workers.submit(self._deliver, json.dumps(event).encode(), str(uuid.uuid4()))

    def close(self) -> None:
        """Drop what is queued; what runs ends with its sandbox."""
        self._closing.set()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _deliver(self, event: bytes, request_id: str) -> None:
        for pause in (*self._retry_s, None):
            error = self._once(event, request_id)
            if error is not None and self._supply is not None and self._supply(error):
                error = self._once(event, request_id)
            if error is None or self._closing.is_set():
                return
            if pause is None:
                self._log(f"RequestId: {request_id} Error: the event was dropped after {len(self._retry_s) + 1} tries")
            elif self._closing.wait(pause):
                return

    def _once(self, event: bytes, request_id: str) -> str | None:
        while not self._closing.is_set():
            try:
                outcome = self._pool.invoke(event, request_id)
                return outcome.payload.decode(errors="replace") if outcome.error else None
            except ThrottledError:
                self._closing.wait(_BUSY_S)
        return None
