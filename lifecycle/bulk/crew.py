"""The worker processes: who has which part, who died of what, and who takes over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import IO, TYPE_CHECKING, Any

from lifecycle.errors import ConflictError, ModelsError, PlaceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lifecycle.bulk.plan import Plan

START = "import sys,json;sys.path[:]=json.loads(sys.argv[1]);from lifecycle.bulk.worker import main;main()"
LANES = 2
"""Parts that one process has at once: while one is read or written, the other is computed."""
LOOK_S = 5.0
MOST_DEATHS = 10
"""After this many without one part done in between it must be the machine, not single pictures."""
_KINDS = {kind.exit_code: kind for kind in (ModelsError, UsageError, PlaceError, ConflictError)}

type Message = tuple["Worker", dict[str, Any] | None]


class Worker:
    """One process; what it says goes to `inbox`, None when it has ended."""

    def __init__(self, job: Mapping[str, Any], inbox: SimpleQueue[Message]) -> None:
        self.busy: set[int] = set()
        self.alone = False
        """Whether its part is one that a process died of: then it gets no other."""
        self._heard: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `stop`
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and text
            [sys.executable, "-c", START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._heard,
            # One core each: there are as many processes as cores, and interpreters that share them only get in the way.
            env={**os.environ, "PYTHON_CPU_COUNT": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
            start_new_session=True,  # Ctrl-C is for whoever started it
        )
        self.send(job)
        threading.Thread(target=self._listen, args=[inbox], daemon=True).start()

    def send(self, line: Mapping[str, Any]) -> None:
        """Say something; one that has died won't hear it, and `inbox` will tell."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()

    def last_words(self) -> str:
        """How it ended: its exit code and the end of what it wrote to standard error."""
        code = self._process.wait()
        self._heard.seek(max(0, self._heard.seek(0, os.SEEK_END) - 1000))
        return f"a worker process ended with {code}: {self._heard.read().decode(errors='replace').strip()}"

    def stop(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait()
        for file in (self._process.stdin, self._heard):
            if file is not None:
                _close(file)

    def _listen(self, inbox: SimpleQueue[Message]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                inbox.put((self, json.loads(line)))
        inbox.put((self, None))


def _close(file: IO[bytes]) -> None:
    with suppress(BrokenPipeError):  # closing sends what was still to be sent
        file.close()


@dataclass(slots=True)
class Suspicion:
    """What is known of a part that a process died of."""

    at: int | None = None
    skip: set[int] = field(default_factory=set)


class Crew:
    """As many workers as asked for; each opens the same version of the model."""

    def __init__(self, job: dict[str, Any], size: int) -> None:
        self._job, self._size = job, size
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._workers: list[Worker] = []
        self._waiting: deque[int] = deque()
        self._suspicions: dict[int, Suspicion] = {}
        self._deaths = 0

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()

    def open(self) -> dict[str, Any]:
        """Start the first worker and tell which model it opened; the others will open the same version."""
        worker = self._start()
        _, message = self._inbox.get()
        if message is None:
            raise ModelsError(worker.last_words())
        _check(message)
        ready: dict[str, Any] = message["ready"]
        self._job["version"] = ready["version"]
        return ready

    def work(
        self, plan: Plan, work: str, parts: Iterable[int], done: Callable[[int], None], look: Callable[[], set[int]]
    ) -> None:
        """See to it that the parts are written, `work` before their names; `look` tells which others wrote."""
        self._waiting.extend(parts)
        missing = set(self._waiting)
        while len(self._workers) < min(self._size, len(missing)):
            self._start()
        looked = time.monotonic()
        while missing:
            self._hand_out(plan, work)
            finished = self._hear()
            if time.monotonic() - looked > LOOK_S:
                finished |= look()
                looked = time.monotonic()
            for part in finished & missing:
                missing.remove(part)
                done(part)
            if finished:
                self._waiting = deque(part for part in self._waiting if part in missing)

    def _start(self) -> Worker:
        worker = Worker({**self._job, "lanes": LANES}, self._inbox)
        self._workers.append(worker)
        return worker

    def _hand_out(self, plan: Plan, work: str) -> None:
        for worker in self._workers:
            while self._waiting and self._takes(worker, self._waiting[0]):
                part = self._waiting.popleft()
                suspicion = self._suspicions.get(part)
                worker.busy.add(part)
                worker.alone = suspicion is not None
                skip = sorted(suspicion.skip) if suspicion else []
                task = {"part": part, "name": work + plan.name_of(part), "keys": plan.keys_of(part)}
                worker.send({**task, "skip": skip, "careful": worker.alone})

    def _takes(self, worker: Worker, part: int) -> bool:
        together = not worker.alone and part not in self._suspicions
        return not worker.busy or (together and len(worker.busy) < LANES)

    def _hear(self) -> set[int]:
        """Wait a while for one message; the part that it says is done."""
        try:
            worker, message = self._inbox.get(timeout=LOOK_S)
        except Empty:
            return set()
        if message is None:
            self._bury(worker)
            return set()
        _check(message)
        if "at" in message:
            self._suspicions[message["part"]].at = message["at"]
        if "written" not in message:
            return set()
        worker.busy.discard(message["part"])
        self._deaths = 0
        return {message["part"]}

    def _bury(self, worker: Worker) -> None:
        """Another takes over its parts: with care, and without the picture that it was announced to die of."""
        words = worker.last_words()
        self._workers.remove(worker)
        worker.stop()
        self._deaths += 1
        if not worker.busy or self._deaths > MOST_DEATHS:
            raise ModelsError(words)
        for part in worker.busy:
            suspicion = self._suspicions.setdefault(part, Suspicion())
            if suspicion.at is not None:
                suspicion.skip.add(suspicion.at)
                suspicion.at = None
            self._waiting.appendleft(part)
        self._start()


def _check(message: Mapping[str, Any]) -> None:
    if "failed" in message:
        raise _KINDS.get(message["exit_code"], ModelsError)(message["failed"])
