"""A tutorial's classifiers published, promoted and rolled back while four clients ask: none fails, none is mixed."""

from __future__ import annotations

import itertools
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from lifecycle.command import main
from local.s3 import LocalS3
from tests.support import dogs_cats
from tests.support.demo import Demo, demo

pytestmark = [pytest.mark.lambda_, pytest.mark.tensorflow]
HTTP = urllib3.PoolManager(timeout=60, retries=False, maxsize=8)
CLIENTS = 4
FULL = bool(os.environ.get("FULL"))
PICTURES, SIZE = (198, {}) if FULL else (12, {"size": 64, "width": 4, "dense": 16})
ROUNDS = 4 if FULL else 1
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
def served(s3_server: LocalS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Demo]:
    """A local Lambda whose place is `prod`, empty so far."""
    name = f"load-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with demo(
        s3_server, name, tmp_path, compiling=False, ENGINE="auto", MODEL_CHECK_SECONDS="1", COMPILE_PATIENCE_SECONDS="0"
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


def test_promoting_and_going_back_under_load_fails_no_request_and_mixes_nothing(served: Demo, case: Case) -> None:
    prod, dev = f"s3://{served.models}/{served.prefix}".rstrip("/"), f"s3://{served.models}/models/elsewhere"
    case.publish("book", dev)
    assert main(["promote", "--from", dev, "--to", prod]) == 0
    until(served, case, "book")
    for picture in case.pictures:
        status, answer = ask(served, picture)
        assert (status, case.model_of(picture, answer), answer["model"]["engine"]) == (200, "book", "litert")
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
        case.publish("blog", dev)
        assert main(["promote", "--from", dev, "--to", prod]) == 0
        until(served, case, "blog")
        for _ in range(ROUNDS):
            assert main(["rollback", prod]) == 0
            until(served, case, "book")
            assert main(["promote", "--from", dev, "--to", prod]) == 0
            until(served, case, "blog")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [answer for _, status, answer in answers if status != 200] == []
    by_version: dict[str, set[str]] = {}
    for picture, _, answer in answers:
        by_version.setdefault(answer["model"]["version"], set()).add(case.model_of(picture, answer))
    assert sorted(map(sorted, by_version.values())) == [["blog"], ["book"]]
    print(f"{len(answers)} replies under load")
