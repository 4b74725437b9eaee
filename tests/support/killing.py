"""Verbs in processes of their own that are killed while S3 has one of their requests."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from local.s3 import S3Request
    from tests.conftest import Bucket

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.support.killing_victim"])


def _work(bucket: str, endpoint: str, work: int | Sequence[str]) -> None:
    from tests.support import killing_victim

    killing_victim.work(bucket, endpoint, work)


def run_killed(
    bucket: Bucket, work: int | Sequence[str], moment: Callable[[S3Request], bool], *, lost: bool, late_s: float = 0
) -> bool:
    """Do the work elsewhere, and kill it at the first request that is the `moment`, `late_s` after it came.

    `lost` is whether that request fails, or is done all the same. Whether the work came to its end.
    """
    process = _FORKS.Process(target=_work, args=(bucket.name, bucket.endpoint_url, work))
    done = False

    def failing(request: S3Request) -> bool:
        nonlocal done
        if done or process.pid is None or not moment(request):
            return False
        done = True
        time.sleep(late_s)
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        return lost

    bucket.server.failing = failing
    process.start()
    process.join(60)
    bucket.server.failing = None
    return process.exitcode == 0


def nth(number: int, *methods: str) -> Callable[[S3Request], bool]:
    """The request of this number, from 0, among those of the methods, or among all."""
    count = -1

    def is_it(request: S3Request) -> bool:
        nonlocal count
        count += not methods or request.method in methods
        return count == number

    return is_it
