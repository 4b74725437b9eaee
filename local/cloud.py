"""The local Lambda as a whole: functions, S3 and front doors, started and stopped together."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Self

from local.asynchronous import EventQueue
from local.event_bridge import bridge_event
from local.fronts import HttpApi
from local.gateway import open_gateway, open_lambda_api
from local.janitor import Janitor
from local.launch import Code, provide_runtime
from local.pool import Pool
from local.s3 import LocalS3
from local.sandbox import Host
from local.strict.limits import check_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from local.fronts import Front
    from local.function import Function
    from local.report import Report
    from local.s3_changes import S3Change
    from local.sandbox import Sandbox
    from local.web import Server


class InvocationError(Exception):
    """A function failed; `payload` is Lambda's error, as the caller of Invoke gets it."""

    def __init__(self, payload: dict[str, object]) -> None:
        super().__init__(f"{payload.get('errorType')}: {payload.get('errorMessage')}")
        self.payload = payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to run. The first function is the one behind the front door; `concurrency` is a new account's limit."""

    functions: tuple[Function, ...]
    code: Code = field(default_factory=Code)
    front: Front = field(default_factory=HttpApi)
    port: int = 0
    s3_port: int = 0
    concurrency: int = 10
    freeze: bool = True
    strict: bool = False
    """Confined as on Lambda: memory, CPU, folders, files, processes (docs/internals: "The local Lambda")."""
    retry_s: tuple[float, ...] = (60.0, 120.0)
    log: Callable[[str], None] | None = None
    supply: Callable[[str], bool] | None = None
    """Given an event's error: whether it has made good what was missing, so that the event is tried again at once."""


class LocalLambda:
    """`with LocalLambda(config) as cloud:` gives `cloud.url`, `cloud.s3.endpoint`, `cloud.invoke(event)` and more."""

    def __init__(self, config: Config, s3: LocalS3 | None = None) -> None:
        self._config = config
        self._owns_s3 = s3 is None  # one that is given is started and stopped by whoever gives it
        self.s3 = s3 or LocalS3(config.s3_port)
        self.reports: list[Report] = []
        self.log: list[str] = []
        self._lock = Lock()
        self._servers: list[Server] = []
        self._pools: dict[str, Pool] = {}
        self._queues: dict[str, EventQueue] = {}
        self._janitor: Janitor | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start S3 and the front doors; sandboxes start with the first event. OSError when a port is taken."""
        config, janitor = self._config, Janitor()
        self._janitor = janitor
        if self._owns_s3:
            self.s3.start()
        for function in config.functions:
            if config.strict:
                check_environment(function)
            limit = min(config.concurrency, function.concurrency or config.concurrency)
            pool = Pool(self._connect(function), self._host(janitor), limit)
            self._pools[function.name] = pool
            self._queues[function.name] = EventQueue(pool, limit, config.retry_s, self._write, config.supply)
        self.s3.listeners.append(self._deliver)
        self._front = self.open(config.front, port=config.port)
        self._lambda_api = open_lambda_api(self._pools, self._queues)
        self._servers.append(self._lambda_api)

    def stop(self) -> None:
        """Stop everything; nothing is left behind."""
        if self._deliver in self.s3.listeners:
            self.s3.listeners.remove(self._deliver)
        for queue in self._queues.values():
            queue.close()
        for server in self._servers:
            server.stop()
        for pool in self._pools.values():
            pool.close()
        if self._owns_s3:
            self.s3.stop()
        if self._janitor is not None:
            self._janitor.close()
        self._servers, self._pools, self._queues, self._janitor = [], {}, {}, None

    @property
    def url(self) -> str:
        """The address of the first function's front door, without a slash at the end."""
        return self._front

    @property
    def lambda_endpoint(self) -> str:
        """The address for Lambda clients: `boto3.client("lambda", endpoint_url=...)`."""
        return f"http://{self._lambda_api.address}"

    def open(self, front: Front, *, function: str | None = None, port: int = 0) -> str:
        """Open one more front door of a function and return its address."""
        server = open_gateway(front, self._pool(function), port)
        self._servers.append(server)
        return f"http://{server.address}"

    def invoke(self, event: object, *, function: str | None = None) -> object:
        """Run one event and return the payload; InvocationError when the function fails."""
        outcome = self._pool(function).invoke(json.dumps(event).encode())
        payload = json.loads(outcome.payload)
        if outcome.error:
            raise InvocationError(payload)
        return payload

    def start_ahead(self, *, function: str | None = None) -> None:
        """Start a sandbox before any event, as Lambda does for most: its INIT is over, and it is frozen."""
        self._pool(function).start_ahead()

    @property
    def sandboxes(self) -> tuple[Sandbox, ...]:
        """The sandboxes of all functions."""
        return tuple(sandbox for pool in self._pools.values() for sandbox in pool.sandboxes)

    def stop_sandboxes(self, *, function: str | None = None) -> None:
        """Stop all sandboxes, or one function's: the next event is a cold start with an empty /tmp folder."""
        for name, pool in self._pools.items():
            if function in (None, name):
                pool.stop()

    def stop_sandbox(self, sandbox: Sandbox) -> None:
        """Stop one sandbox."""
        self._pools[sandbox.function.name].stop(sandbox)

    def _deliver(self, change: S3Change) -> None:
        bridged = bridge_event(change)
        for function in self._config.functions:
            if any(change.matches(trigger) for trigger in function.triggers):
                self._queues[function.name].put(change.event())
            if any(rule.asks_for(bridged) for rule in function.rules):
                self._queues[function.name].put(bridged)

    def _pool(self, function: str | None) -> Pool:
        return self._pools[function or self._config.functions[0].name]

    def _connect(self, function: Function) -> Function:
        # AWS_ENDPOINT_URL_S3 is botocore's own variable, not one of the service's settings.
        return replace(function, environment={"AWS_ENDPOINT_URL_S3": self.s3.endpoint, **function.environment})

    def _host(self, janitor: Janitor) -> Host:
        runtime = janitor.root / "runtime"
        if not runtime.exists():
            provide_runtime(runtime)
        return Host(
            folder=janitor.root,
            runtime=runtime,
            code=self._config.code,
            freeze=self._config.freeze,
            strict=self._config.strict,
            log=self._write,
            report=self._take,
        )

    def _take(self, report: Report) -> None:
        self.reports.append(report)
        self._write(str(report))

    def _write(self, line: str) -> None:
        with self._lock:
            self.log.append(line)
            if self._config.log is not None:
                self._config.log(line)
