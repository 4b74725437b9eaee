"""One campaign: clients ask while faults come and go, models are exchanged and sandboxes killed, all at once."""

from __future__ import annotations

import re
import threading
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from local.s3 import LocalS3
from tests.support.demo import demo
from tests.support.origin import Origin
from tools.chaos import canaries as canary
from tools.chaos import captures, good, hostile, swaps
from tools.chaos.attempts import Attempt, Span, cause
from tools.chaos.client import CALLER, Client
from tools.chaos.faults import FAULTS, LOADING, Fault, pass_on
from tools.chaos.faulty_s3 import FaultyS3
from tools.chaos.models import prepare
from tools.chaos.result import Result, counted
from tools.chaos.sandboxes import Kill, kill_one, lost, warm_requests
from tools.chaos.secrets import CREDENTIALS, canaries, found_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.support.demo import Demo
    from tools.chaos.models import Models

ENVIRONMENT = {
    "MODEL_CHECK_SECONDS": "1",
    "SWAP_SETTLE_SECONDS": "3",
    "COMPILE_PATIENCE_SECONDS": "100000",
    "FETCH_TIMEOUT_SECONDS": "3",
    "CALLER_HEADER": CALLER,
    "CAPTURE": captures.SHARE,
    **CREDENTIALS,
}
_ROLE = re.compile(r'"role":"(\w+)"')
_START_S = 60.0
_LONGEST_REPLY_S = 30.0
"""So long a request may wait for what began while the model was exchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run: for how long, with how many clients, by which engine; `handlers` is the handler under test."""

    seed: str = "1"
    seconds: float = 600.0
    clients: int = 6
    engine: str = "litert"
    memory: int = 2048
    """Of the function, in MB. The local Lambda is strict: it kills what passes them, and gives the CPU they bring."""
    handlers: str = "loopback"
    kills: bool = True
    log: Path | None = None
    """Where the functions' log is written."""

    def random(self, name: str) -> Random:
        """Chance of its own for one actor, the same for the same seed."""
        return Random(f"{self.seed}/{name}")


def run(plan: Plan) -> Result:
    """Run the campaign and judge it."""
    models = prepare()
    s3 = LocalS3()
    s3.start()
    try:
        with ExitStack() as stack:
            origin = stack.enter_context(Origin(good.behaviours(models.pictures) | hostile.behaviours()))
            faulty = stack.enter_context(FaultyS3(s3.endpoint, f"{plan.seed}/s3"))
            # With ENGINE=auto, as deployed: compiled forms serve, and TensorFlow is there for what has none.
            engine = "auto" if plan.engine == "litert" else plan.engine
            settings: dict[str, Any] = {
                **ENVIRONMENT,
                "ENGINE": engine,
                "AWS_ENDPOINT_URL_S3": faulty.url,
            }
            name = f"chaos-{uuid.uuid4().hex[:8]}"
            function = demo(
                s3, name, models.bundles[0], handlers=plan.handlers, memory_mb={"classify": plan.memory}, **settings
            )
            running = stack.enter_context(function)
            return _Campaign(plan, models, running, faulty, origin).run()
    finally:
        s3.stop()


@dataclass(slots=True)
class _Campaign:
    plan: Plan
    models: Models
    running: Demo
    faulty: FaultyS3
    origin: Origin
    over: threading.Event = field(default_factory=threading.Event)
    spans: list[Span] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    swapped: list[Span] = field(default_factory=list)
    canaries: list[Span] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def run(self) -> Result:
        """Prepare S3, let all actors act until the time is over, judge what came of it."""
        bucket = self._fill()
        cases = [*good.cases(self.models.pictures, self.origin), *hostile.cases(self.models.pictures, self.origin)]
        clients = [
            Client(self.running.cloud.url, self.models.answers, cases, self.plan.random(f"client {number}"))
            for number in range(self.plan.clients)
        ]
        clients[0].until_served(_START_S)
        began = time.monotonic()
        acts: list[Callable[[], None]] = [
            *(lambda client=client: client.run(self.over) for client in clients),
            self._make_faults,
            lambda: self._swap(bucket),
            lambda: self._make_canaries(bucket),
            *([self._kill] if self.plan.kills else []),
        ]
        threads = [threading.Thread(target=self._guarded, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        self.over.wait(self.plan.seconds)
        self.over.set()
        for thread in threads:
            thread.join()
        if self.broken:
            raise RuntimeError(f"the campaign itself failed: {self.broken}")
        return self._judge(clients, time.monotonic() - began)

    def _guarded(self, act: Callable[[], None]) -> None:
        """An actor that fails ends the campaign: without it the figures would say less than they seem to."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - reported by run
            self.broken.append(repr(error))
            self.over.set()

    def _fill(self) -> swaps.Bucket:
        client, name, prefix = self.running.s3, self.running.models, self.running.prefix
        for picture, data in self.models.pictures.items():
            client.put_object(Bucket=self.running.images, Key=good.KEYS + picture, Body=data)
        compiled = swaps.compiled(self.models.bundles, prefix) if self.plan.engine == "litert" else {}
        bucket = swaps.Bucket(client, name, prefix, compiled)
        bucket.mend()
        bucket.publish(swaps.bundles(self.models.bundles)[0])
        return bucket

    def _pause(self, seconds: float) -> bool:
        """Whether the campaign goes on after a pause."""
        return not self.over.wait(seconds)

    def _make_faults(self) -> None:
        """Every fault once in an order of its own, calm in between, and again."""
        chance = self.plan.random("faults")
        length = min(max(self.plan.seconds / len(FAULTS) / 2, 0.8), 6.0)
        while True:
            for fault in chance.sample(FAULTS, len(FAULTS)):
                if not self._pause(length * chance.uniform(0.7, 1.3)):
                    return
                began = time.monotonic()
                self.faulty.fault = fault
                self._pause(length * chance.uniform(0.7, 1.3))
                self.faulty.fault = None
                self.spans.append(Span(fault, began, time.monotonic()))

    def _swap(self, bucket: swaps.Bucket) -> None:
        """Good models and broken ones in turn."""
        chance = self.plan.random("swaps")
        good_ones = [swap for swap in swaps.SWAPS if swap.good]
        broken_ones = [swap for swap in swaps.SWAPS if not swap.good]
        files = swaps.bundles(self.models.bundles)
        number = 0
        while True:
            for broken in chance.sample(broken_ones, len(broken_ones)):
                # A good one has the time to settle, to be noticed and to serve; a broken one is noticed.
                for swap, seconds in ((chance.choice(good_ones), 7.0), (broken, 1.5)):
                    if swap.good:
                        bucket.mend()
                    began = time.monotonic()
                    swap.run(bucket, files[number % 2], chance)
                    goes_on = self._pause(seconds * chance.uniform(0.8, 1.3))
                    fault = Fault(name=swap.name, behave=pass_on, cold=LOADING if swap.tensorflow else frozenset())
                    self.swapped.append(Span(fault, began, time.monotonic() + _LONGEST_REPLY_S))
                    if not goes_on:
                        return
                number += 1

    def _make_canaries(self, bucket: swaps.Bucket) -> None:
        """Canaries beside whatever is published just then: begun, raised, promoted and ended in any order."""
        chance = self.plan.random("canaries")
        files = swaps.bundles(self.models.bundles)
        while self._pause(1.5 * chance.uniform(0.3, 1.7)):
            began = time.monotonic()
            done = (act for act in chance.sample(canary.ACTS, len(canary.ACTS)) if act.run(bucket, files, chance))
            if (act := next(done, None)) is not None:
                self.canaries.append(Span(Fault(name=act.name, behave=pass_on), began, time.monotonic()))

    def _kill(self) -> None:
        chance = self.plan.random("kills")
        while self._pause(min(max(self.plan.seconds / 15, 1.0), 4.0) * chance.uniform(0.3, 1.7)):
            kill = kill_one(self.running.cloud, chance)
            if kill is not None:
                self.kills.append(kill)

    def _judge(self, clients: Iterable[Client], seconds: float) -> Result:
        cloud = self.running.cloud
        if self.plan.log is not None:
            self.plan.log.write_text("\n".join(cloud.log))
        attempts = [attempt for client in clients for attempt in client.attempts]
        answered = {attempt.request_id for attempt in attempts if attempt.model}
        warm = warm_requests(cloud.reports, answered, self.kills)
        failed = [attempt for attempt in attempts if attempt.finding.verdict == "failed"]
        spans = [*self.spans, *self.swapped]
        causes = [(attempt, cause(attempt, spans, self.kills, warm)) for attempt in failed]
        events = [span.fault.name for span in self.spans] + [f"model: {span.fault.name}" for span in self.swapped]
        events += [f"canary: {span.fault.name}" for span in self.canaries]
        words = canaries(self.models.pictures)
        kept, torn = captures.judged(self.running.s3, self.running.images, self.models, attempts)
        return Result(
            seed=self.plan.seed,
            seconds=round(seconds, 1),
            engine=self.plan.engine,
            requests=counted(attempt.case.kind for attempt in attempts),
            answers=counted(attempt.code for attempt in attempts),
            causes=counted(f"{why}: {attempt.finding.code}" for attempt, why in causes if why),
            events=counted(iter([*events, *("sandbox killed" for _ in self.kills)])),
            adopted=counted(attempt.model for attempt in attempts if attempt.model),
            roles=counted(role for line in cloud.log for role in _ROLE.findall(line)),
            captures=kept,
            torn=tuple(torn),
            slow_starts=sum("Phase: init\tStatus: timeout" in line for line in cloud.log),
            peak_mb=max((report.max_memory_mb for report in cloud.reports), default=0),
            memory_mb=max((report.memory_mb for report in cloud.reports), default=0),
            unexplained=tuple(_told(attempt, warm) for attempt, why in causes if not why),
            wrong=tuple(_told(attempt, warm) for attempt in attempts if attempt.finding.verdict == "wrong"),
            lost=tuple(str(report) for report in lost(cloud.reports, self.kills)),
            leaks=tuple(found_in([*cloud.log, *(text for client in clients for text in client.leaked)], words)),
        )


def _told(attempt: Attempt, warm: set[str]) -> str:
    state = "warm" if attempt.request_id in warm else "new"
    wanted = ", ".join(map(str, attempt.case.wants))
    found = attempt.finding
    return (
        f"{attempt.case.kind} {attempt.case.name[:60]}: {found.code or '200'} {found.detail} instead of {wanted}"
        f" ({state} sandbox, {attempt.ended - attempt.began:.1f} s, request {attempt.request_id})"
    )
