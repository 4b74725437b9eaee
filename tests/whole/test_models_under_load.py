"""A tutorial's classifiers published, promoted and rolled back while four clients ask: none fails, none is mixed."""

from __future__ import annotations

import itertools
import os
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from lifecycle.command import main
from local.s3 import LocalS3
from tests.support import dogs_cats
from tests.support.demo import NAMES, Demo, demo

pytestmark = [pytest.mark.lambda_, pytest.mark.tensorflow]
HTTP = urllib3.PoolManager(timeout=60, retries=False, maxsize=8)
CLIENTS = 4
FULL = bool(os.environ.get("FULL"))
PICTURES, SIZE = (198, {}) if FULL else (12, {"size": 64, "width": 4, "dense": 16})
ROUNDS = 4 if FULL else 1
STARTS = 40 if FULL else 4
CLOSE = 1e-4


class Case:
    """Two models as files, pictures, and what Keras says of each by each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures = dogs_cats.write_pictures(folder / "pictures", PICTURES)
        (folder / "labels.txt").write_text("cats\ndogs\n")
        self.expected: dict[str, dict[str, float]] = {}
        for name, model in (("book", dogs_cats.book(**SIZE)), ("blog", dogs_cats.blog(**SIZE))):
            dogs_cats.trained(model, seed=len(self.expected)).save(folder / f"{name}.h5")
            found = dogs_cats.scores(model, self.pictures)
            self.expected[name] = dict(zip((path.name for path in self.pictures), found, strict=True))

    def publish(self, name: str, place: str) -> None:
        """As its user would."""
        labels = ["--labels", str(self.folder / "labels.txt"), "--preprocessing", "unit"]
        assert main(["publish", str(self.folder / f"{name}.h5"), "--to", place, *labels]) == 0

    def model_of(self, picture: Path, answer: Any) -> str:
        """Whose scores these are."""
        found = {item["label"]: item["score"] for item in answer["predictions"]}
        for name, expected in self.expected.items():
            dog = expected[picture.name]
            if found == pytest.approx({"cats": 1 - dog, "dogs": dog}, abs=CLOSE):
                return name
        raise AssertionError(f"nobody's: {found}")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("dogs-cats"))


@pytest.fixture
def served(
    s3_server: LocalS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Demo]:
    """A local Lambda whose place is `prod`, empty so far; COMPILE_PATIENCE_SECONDS is the parameter, 0 without one."""
    patience = str(getattr(request, "param", 0))
    name = f"load-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with demo(
        s3_server, name, tmp_path, ENGINE="auto", MODEL_CHECK_SECONDS="1", COMPILE_PATIENCE_SECONDS=patience
    ) as running:
        yield running


def ask(served: Demo, picture: Path) -> tuple[int, Any]:
    answer = HTTP.request(
        "POST", f"{served.cloud.url}/classify", body=picture.read_bytes(), headers={"content-type": "image/jpeg"}
    )
    return answer.status, answer.json()


def until(served: Demo, case: Case, wanted: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while case.model_of(case.pictures[0], ask(served, case.pictures[0])[1]) != wanted:
        assert time.monotonic() < end, f"{wanted} does not serve after {seconds} s"
        time.sleep(0.1)


@contextmanager
def load(served: Demo, case: Case) -> Iterator[list[tuple[Path, int, Any]]]:
    """Four clients that ask all the time, and what they were answered."""
    answers: list[tuple[Path, int, Any]] = []
    stop = threading.Event()

    def client(start: int) -> None:
        for picture in itertools.cycle(case.pictures[start:]):
            if stop.is_set():
                return
            answers.append((picture, *ask(served, picture)))

    threads = [threading.Thread(target=client, args=(index,)) for index in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def check(case: Case, answers: list[tuple[Path, int, Any]]) -> None:
    """No request failed, and both models answered, each with its own scores under its own version."""
    assert [answer for _, status, answer in answers if status != 200] == []
    by_version: dict[str, set[str]] = {}
    for picture, _, answer in answers:
        by_version.setdefault(answer["model"]["version"], set()).add(case.model_of(picture, answer))
    assert sorted(map(sorted, by_version.values())) == [["blog"], ["book"]]
    print(f"{len(answers)} replies under load")


def replace_an_idle_sandbox(served: Demo) -> bool:
    """Take a sandbox away between two events: the next request then starts a fresh one."""
    for sandbox in served.cloud.sandboxes:
        if sandbox.pid is not None and sandbox.reserve():
            served.cloud.stop_sandbox(sandbox)
            return True
    return False


def replace_sandboxes(served: Demo, count: int, seconds: float = 120) -> None:
    """Until so many fresh ones have answered their first request."""

    def cold() -> int:
        return sum(report.init_ms is not None and report.status == "success" for report in served.cloud.reports)

    enough, end = cold() + count, time.monotonic() + seconds
    while cold() < enough:
        assert time.monotonic() < end, f"{cold()} cold starts, {enough} are wanted"
        replace_an_idle_sandbox(served)
        time.sleep(0.05)


def test_promoting_and_going_back_under_load_fails_no_request_and_mixes_nothing(served: Demo, case: Case) -> None:
    prod, dev = f"s3://{served.models}/{served.prefix}".rstrip("/"), f"s3://{served.models}/models/elsewhere"
    case.publish("book", dev)
    assert main(["promote", "--from", dev, "--to", prod]) == 0
    until(served, case, "book")
    for picture in case.pictures:
        status, answer = ask(served, picture)
        assert (status, case.model_of(picture, answer), answer["model"]["engine"]) == (200, "book", "litert")
    with load(served, case) as answers:
        case.publish("blog", dev)
        assert main(["promote", "--from", dev, "--to", prod]) == 0
        until(served, case, "blog")
        for _ in range(ROUNDS):
            assert main(["rollback", prod]) == 0
            until(served, case, "book")
            assert main(["promote", "--from", dev, "--to", prod]) == 0
            until(served, case, "blog")
    check(case, answers)


@pytest.mark.parametrize("served", [600], indirect=True)
def test_sandboxes_that_start_while_a_new_model_is_compiled_serve_the_older_one(served: Demo, case: Case) -> None:
    """Fresh sandboxes all the time, before the swap, while the new model has no compiled form, and when it has."""
    prod, dev = f"s3://{served.models}/{served.prefix}".rstrip("/"), "models/elsewhere"
    case.publish("book", prod)
    case.publish("blog", f"s3://{served.models}/{dev}")
    found = served.s3.list_objects_v2(Bucket=served.models, Prefix=f"{dev}/")["Contents"]
    keys = {key.rpartition("/")[2]: key for info in found if "/compiled/" not in (key := info["Key"])}

    with load(served, case) as answers:
        replace_sandboxes(served, STARTS)
        for name in keys.keys() & {*NAMES}:  # as `aws s3 cp` does
            data = served.s3.get_object(Bucket=served.models, Key=keys[name])["Body"].read()
            served.s3.put_object(Bucket=served.models, Key=served.prefix + name, Body=data)
            replace_sandboxes(served, 1)
        replace_sandboxes(served, STARTS)
        assert {case.model_of(picture, answer) for picture, _, answer in answers} == {"book"}
        with ThreadPoolExecutor(1) as pool:
            compiling = pool.submit(served.compile)
            while not compiling.done():
                replace_sandboxes(served, 1)
            assert compiling.result()["result"] == "compiled"
        until(served, case, "blog")
        replace_sandboxes(served, STARTS)
    check(case, answers)
    assert {answer["model"]["engine"] for _, _, answer in answers} == {"litert"}
    assert [line for line in served.cloud.log if '"engine":"tensorflow"' in line or "unpack" in line] == []
