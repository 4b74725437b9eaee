"""One sandbox: a process of AWS's runtime client with its own folder, running one event at a time.

Between events it is stopped (SIGSTOP), as Lambda freezes it. A process that dies or runs out of time is reported as
Lambda reports it; the next event then starts another process in the same folder, as Lambda does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread
from typing import TYPE_CHECKING

from local import runtime_api
from local.launch import Places, environment
from local.memory import peak_mb
from local.report import Report
from local.runtime_api import Invocation, error_payload
from local.strict.confinement import Confinement

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local.function import Function
    from local.launch import Code
    from local.strict.warden import Warden

INIT_LIMIT_S = 10.0
"""INIT's own limit; after it Lambda starts the process again, inside the first invocation."""
_SETTLE_S = 0.5
"""How long a reply is held for the runtime to ask for its next event, so that a caller's next request finds it idle."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an invocation came to; `error` is the kind of error, None for a reply."""

    payload: bytes
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What a sandbox needs of its surroundings."""

    folder: Path
    runtime: Path
    code: Code
    freeze: bool
    strict: bool
    log: Callable[[str], None]
    report: Callable[[Report], None]


class Sandbox:
    """Owns one process at a time, its folder and its end of the Runtime API."""

    def __init__(self, name: str, function: Function, host: Host) -> None:
        self.name, self.function, self._host = name, function, host
        self.tmp = host.folder / name / "tmp"
        self.tmp.mkdir(parents=True)
        self._places = Places(host.code.root, host.runtime, self.tmp, host.code.python_path)
        self._confinement: Confinement | None = None
        self._warden: Warden | None = None
        if host.strict:
            self._confine()
        self._api = runtime_api.serve(self)
        self._changed = Condition()
        self._reserved = self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting = False
        self._init_error: bytes | None = None
        self._offer: Invocation | None = None
        self._running: Invocation | None = None
        self._outcome: Outcome | None = None
        self._overdue_at = 0.0
        self._begun = 0.0
        self._init_ms: float | None = None
        self._peak_mb = 0
        self._exit = "none"

    # The pool's side

    @property
    def pid(self) -> int | None:
        """The process, None when there is none."""
        return self._process.pid if self._process else None

    @property
    def idle(self) -> bool:
        """Whether it can take an event."""
        return not (self._reserved or self._stopped or self._running)

    def reserve(self) -> bool:
        """Take it for one invocation; False when it is busy. One that hangs past its time is killed first."""
        with self._changed:
            if self._running and not self._reserved and time.time() > self._overdue_at:
                self._finish("timeout")
                self._kill()
            if not self.idle:
                return False
            self._reserved = True
            return True

    def invoke(self, event: bytes, request_id: str) -> Outcome:
        """Run one event after `reserve`; start the process when there is none."""
        try:
            return self._invoke(event, request_id)
        finally:
            with self._changed:
                self._reserved = False

    def start(self) -> None:
        """Go through INIT after `reserve`, ahead of any event, and wait for one."""
        if not self._process:
            self._init()
        with self._changed:
            self._reserved = False

    def stop(self) -> None:
        """End the process and remove the folder."""
        with self._changed:
            self._stopped = True
            self._kill()
            self._changed.notify_all()
        self._api.stop()
        if self._confinement:
            self._confinement.close()
        shutil.rmtree(self.tmp.parent, ignore_errors=True)

    # The runtime's side, called from the Runtime API's threads

    def next(self) -> Invocation | None:
        """Settle what has run, freeze, and wait for an event."""
        with self._changed:
            if self._running and self._outcome:
                self._finish("error" if self._outcome.error else "success")
            elif self._process:  # without an outcome, what runs has yet to begin: in a process that is new
                self._peak_mb = self._measured_mb(self._process.pid)
            self._waiting = True
            self._changed.notify_all()
            self._freeze()
            # The thread of a process that died must not take the offer to the next one.
            process = self._process
            self._changed.wait_for(lambda: self._offer or self._stopped or self._process is not process)
            if self._stopped or self._process is not process:
                return None
            offer, self._offer, self._waiting = self._offer, None, False
            return offer

    def replied(self, request_id: str, body: bytes, *, failed: bool) -> None:
        """Take the reply to the event that runs."""
        with self._changed:
            if self._running and self._running.request_id == request_id and self._outcome is None:
                self._outcome = Outcome(body, "Unhandled" if failed else None)
                self._changed.notify_all()

    def init_failed(self, body: bytes) -> None:
        """Take the error that stopped the handler from being imported."""
        with self._changed:
            self._init_error = body
            self._changed.notify_all()

    # Inside

    def _invoke(self, event: bytes, request_id: str) -> Outcome:
        init_ms = None if self._process else self._init()
        with self._changed:
            deadline = time.time() + self.function.timeout_s
            invocation = Invocation(request_id, event, deadline, self.function.arn, _trace_id(request_id))
            self._running, self._outcome, self._overdue_at = invocation, None, deadline
            self._init_ms, self._begun = init_ms, time.perf_counter()
            if not self._process and not self._init_error and not self._stopped:
                self._spawn()  # INIT took too long: once more, within the invocation
            self._changed.wait_for(lambda: self._waiting or self._over(), self.function.timeout_s)
            if self._waiting:
                self._thaw()
                self._offer = invocation
                self._changed.notify_all()
            self._changed.wait_for(self._over, max(0.0, deadline - time.time()))
            return self._conclude(request_id)

    def _init(self) -> float | None:
        """Start the process and wait for it to be ready; milliseconds, or None when INIT ran out of time."""
        with self._changed:
            begun = time.perf_counter()
            self._spawn()
            self._changed.wait_for(lambda: self._waiting or self._init_error or not self._process, INIT_LIMIT_S)
            if self._waiting or self._init_error:
                return (time.perf_counter() - begun) * 1000
            if self._process:
                self._host.log(f"INIT_REPORT Init Duration: {INIT_LIMIT_S * 1000:.2f} ms\tPhase: init\tStatus: timeout")
                self._kill()
            return None

    def _over(self) -> bool:
        return bool(self._outcome or self._init_error or not self._process or self._stopped)

    def _conclude(self, request_id: str) -> Outcome:
        if self._outcome:
            self._changed.wait_for(lambda: self._running is None or not self._process, _SETTLE_S)
            return self._outcome
        if self._init_error:
            outcome, status = Outcome(self._init_error, "Unhandled"), "error"
        elif self._process and not self._stopped:
            text = f"RequestId: {request_id} Error: Task timed out after {self.function.timeout_s:.2f} seconds"
            outcome, status = Outcome(error_payload("Sandbox.Timedout", text), "Unhandled"), "timeout"
        else:
            text = f"RequestId: {request_id} Error: Runtime exited with error: {self._exit}"
            outcome, status = Outcome(error_payload("Runtime.ExitError", text), "Unhandled"), "crash"
        self._host.log(outcome.payload.decode(errors="replace"))
        self._finish(status)
        self._kill()
        return outcome

    def _confine(self) -> None:
        """Make the rooms and limits that Lambda has; what this system can't imitate is said in the log."""
        self._confinement = Confinement(self.tmp.parent, self.function, self._host.code, self._places)
        self._places = self._confinement.places
        for sentence in self._confinement.missing:
            self._host.log(f"STRICT {self.name}: not imitated here: {sentence}")

    def _spawn(self) -> None:
        code = self._host.code
        variables = environment(
            self.function, self._places, api=self._api.address, log_stream=self.name, isolated=code.isolated
        )
        command = code.command(self.function.handler)
        self._init_error, self._waiting, self._offer = None, False, None
        process = self._process = subprocess.Popen(
            self._confinement.wrap(command) if self._confinement else command,
            cwd=code.root,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        (self.tmp.parent / "pid").write_text(str(process.pid))
        self._warden = self._confinement.watch(process.pid) if self._confinement else None
        Thread(target=self._read_log, args=(process,), daemon=True).start()
        Thread(target=self._await_exit, args=(process,), daemon=True).start()

    def _read_log(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self._host.log(line.decode(errors="replace").rstrip("\n"))

    def _await_exit(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self._changed:
            self._exit = f"signal: {signal.strsignal(-code)}".lower() if code < 0 else f"exit status {code}"
            if self._process is process:
                self._gone()

    def _kill(self) -> None:
        if process := self._process:
            self._signal(signal.SIGKILL)
            self._changed.wait_for(lambda: process.returncode is not None, 10)
            self._gone()

    def _gone(self) -> None:
        if self._warden:
            self._peak_mb = max(self._peak_mb, self._warden.peak_mb)
            self._warden.end()
        self._process, self._warden, self._waiting, self._offer = None, None, False, None
        (self.tmp.parent / "pid").unlink(missing_ok=True)
        if self._running and self._outcome:
            self._finish("crash")
        self._changed.notify_all()

    def _freeze(self) -> None:
        if self._warden:
            self._warden.throttle()  # INIT is over, if this was it
        if self._host.freeze:
            self._warden.freeze() if self._warden else self._signal(signal.SIGSTOP)

    def _thaw(self) -> None:
        self._warden.thaw() if self._warden else self._signal(signal.SIGCONT)

    def _measured_mb(self, pid: int) -> int:
        return max(peak_mb(pid), self._warden.peak_mb if self._warden else 0)

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):  # it ended just now
                os.killpg(self._process.pid, number)

    def _finish(self, status: str) -> None:
        """Report the invocation that ran; the lock is held."""
        if self._running is None:
            return
        if self._process and (now := self._measured_mb(self._process.pid)):
            self._peak_mb = now
        self._host.report(
            Report(
                request_id=self._running.request_id,
                function=self.function.name,
                sandbox=self.name,
                status=status,
                duration_ms=(time.perf_counter() - self._begun) * 1000,
                init_ms=self._init_ms,
                memory_mb=self.function.memory_mb,
                max_memory_mb=self._peak_mb,
            )
        )
        self._running = None
        self._changed.notify_all()


def _trace_id(request_id: str) -> str:
    return f"Root=1-{int(time.time()):08x}-{request_id.replace('-', '')[:24]};Sampled=0"
