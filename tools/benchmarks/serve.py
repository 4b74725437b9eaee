"""How many uploads a second one core answers, warm: behind gunicorn, and as the local Lambda's sandbox.

Both answer in turns, a few calls each, two clients at a time, so that there is always one waiting. Processor time a
request is the steadiest figure: it is the server's own, whatever else the machine does.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from local.launch import PROJECT, Code, credentials
from local.memory import peak_mb
from tools.benchmarks.bundles import bundle
from tools.benchmarks.result import Options, Result, percentile, ratio
from tools.benchmarks.sandboxes import SAMPLE, classify_function, sandboxes, storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.function import Function
    from local.s3 import LocalS3

CLIENTS = 2
CALLS = 40
ONE_CORE = ("taskset", "-c", "0")
MEMORY_MB = "1769"
"""Lambda's MB a core: the engine takes as many threads as there are."""


def run(options: Options) -> Result:
    """Requests a second, p50, p99 and processor time of both; `rps_a_core` is one over the latter."""
    folder = bundle("demo", options.work, compiled=True)
    rounds = options.count(15, quick=2)
    with storage() as s3:
        function = classify_function(s3, folder, "bench-serve")
        with sandboxes(function, Code(wrap=ONE_CORE), s3) as cloud, _gunicorn(function, s3) as (address, worker):
            _load(f"{cloud.url}/classify")
            pids = [one.pid for one in cloud.sandboxes if one.pid]  # one for each client: Lambda asks one at a time
            ways = {"gunicorn": (f"{address}/classify", [worker]), "sandbox": (f"{cloud.url}/classify", pids)}
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            elapsed, used = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
            for number in range(rounds + 1):
                for way, (url, pids) in ways.items():
                    if number == 1:
                        seconds[way], elapsed[way], used[way] = [], 0.0, 0.0  # the first round was for warming up
                    began, cpu = time.perf_counter(), sum(map(_cpu_s, pids))
                    seconds[way] += _load(url)
                    elapsed[way] += time.perf_counter() - began
                    used[way] += sum(map(_cpu_s, pids)) - cpu
            peaks = {way: max(map(peak_mb, pids)) for way, (_, pids) in ways.items()}
    count = rounds * CALLS
    medians: dict[str, float] = {}
    for way, durations in seconds.items():
        medians |= {f"{way}_p{percent}_ms": percentile((s * 1000 for s in durations), percent) for percent in (50, 99)}
        medians |= {f"{way}_rps": round(count / elapsed[way], 1), f"{way}_cpu_ms": round(used[way] / count * 1000, 3)}
        medians |= {f"{way}_rps_a_core": round(count / used[way], 1), f"{way}_peak_mb": peaks[way]}
    ratios = {
        "gunicorn_cpu_over_sandbox": ratio(medians["gunicorn_cpu_ms"], medians["sandbox_cpu_ms"]),
        "gunicorn_p50_over_sandbox": ratio(medians["gunicorn_p50_ms"], medians["sandbox_p50_ms"]),
    }
    notes = [f"upload of {SAMPLE.name}, {CLIENTS} clients, {CALLS} calls a round, one core, demo model"]
    return Result(name="serve", runs=count, medians=medians, ratios=ratios, notes=notes)


@contextmanager
def _gunicorn(function: Function, s3: LocalS3) -> Iterator[tuple[str, int]]:
    """The address of a server with one worker on one core, and the worker's process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    own = {"AWS_ENDPOINT_URL_S3": s3.endpoint, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": MEMORY_MB, **credentials()}
    environ = {"PATH": os.environ.get("PATH", os.defpath), **own, **function.environment}
    command = [sys.executable, "-m", "gunicorn", "--bind", address, "--no-control-socket", "handler:wsgi()"]
    with subprocess.Popen(
        [*ONE_CORE, *command], cwd=PROJECT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(address)
            _ask(f"http://{address}/classify")
            worker = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
            yield f"http://{address}", worker
        finally:
            process.terminate()


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    end = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection((host, int(port)), timeout=30).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _load(url: str) -> list[float]:
    """Seconds that each call took as its client saw it."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        return list(clients.map(_ask, [url] * CALLS))


def _ask(url: str) -> float:
    import urllib3

    began = time.perf_counter()
    body, headers = SAMPLE.read_bytes(), {"content-type": "image/jpeg", "connection": "close"}
    reply = urllib3.request("POST", url, body=body, headers=headers, retries=False)
    assert (reply.status, reply.json()["model"]["engine"]) == (200, "litert"), reply.data
    return time.perf_counter() - began


def _cpu_s(pid: int) -> float:
    """Processor time of a process with its threads (proc_pid_stat(5))."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
