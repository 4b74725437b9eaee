"""A canary over HTTP: requests while it is begun, raised, promoted, aborted and exchanged; nothing is mixed."""

from __future__ import annotations

import json
import threading
import time
from array import array
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

import handler
from classifier.bundles.canary import Plan
from classifier.bundles.serving import ModelShape, parse_serving
from classifier.engines.engine import Loaded
from classifier.errors import ModelError
from classifier.wsgi import application
from lifecycle import record
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.release import put_release
from lifecycle.shares import Share
from tests.support.answering import serving
from tests.support.application import picture
from tests.support.stand_ins import publish, quietly, release

if TYPE_CHECKING:
    from collections.abc import Buffer, Iterator

    from classifier.bundles.reader import Bundle

BROKEN = 13
NUMBERS = {release(number).version: number for number in (*range(1, 9), BROKEN)}
HTTP = urllib3.PoolManager(timeout=30, retries=False)
CLIENTS = 3


class NumberEngine:
    """An engine whose score is its weights' number."""

    name = "tensorflow"

    def __init__(self, weights: bytes) -> None:
        self.score = score_of(int(weights.split(b"weights ")[1]))

    def predict(self, _picture: Buffer) -> array[float]:
        return array("f", [self.score])


def score_of(number: int) -> float:
    return number / 16  # a float32 to the bit


def opened(bundle: Bundle) -> Loaded:
    if b"weights 13" in bytes(bundle.weights):
        raise ModelError("broken weights")
    serving = parse_serving(bundle.parts["serving"], None, ModelShape(8, 8, 3, 1, "softmax"))
    return Loaded(NumberEngine(bytes(bundle.weights)), serving, {})


@pytest.fixture
def url(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The service over the place, where model number 1 is published."""
    publish(place, 1)
    monkeypatch.setattr(handler, "_open_keras", opened)
    monkeypatch.setattr(handler, "STARTED", time.monotonic())
    settings = {"ENGINE": "tensorflow", "MODEL_CHECK_SECONDS": "0.1", "CALLER_HEADER": "X-User"}
    names = {"MODEL_BUCKET": place.bucket, "MODEL_PREFIX": place.prefix, "SWAP_SETTLE_SECONDS": "0"}
    keys = {"AWS_ENDPOINT_URL": place.client.meta.endpoint_url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    app = handler.build({**settings, **names, **keys})
    with serving(application(app, 1_000_000)) as address:
        yield address


def ask(url: str, caller: str) -> str:
    """The version that answered; AssertionError unless labels and scores are exactly that version's."""
    headers = {"content-type": "image/png", "x-user": caller}
    reply = HTTP.request("POST", f"{url}/classify", body=picture(), headers=headers)
    document: Any = reply.json()
    assert reply.status == 200, document
    version: str = document["model"]["version"]
    number = NUMBERS[version]
    assert document["predictions"] == [{"label": f"label {number}", "score": score_of(number)}]
    return version


def begin(place: Place, number: int, percent: int) -> Plan:
    given = release(number)
    put_release(place, given, record.read_current(place), quietly, Share(percent))
    return Plan(given.version, percent, shadow=False, snapshot=None)


def test_nothing_is_mixed_and_nobody_fails_while_canaries_come_and_go(url: str, place: Place) -> None:
    ask(url, "first")
    over, failures = threading.Event(), list[BaseException]()
    seen: list[str] = []

    def client(number: int) -> None:
        try:
            while not over.is_set():
                seen.append(ask(url, f"caller {number} {len(seen) % 10}"))
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        for number in (2, BROKEN, 3):
            begin(place, number, 40)
            wait(seen, 12)
            assert main(["canary", "dev", "raise", "80"]) == 0
            wait(seen, 12)
            publish(place, number + 4 if number != BROKEN else 4)
            wait(seen, 12)
            assert main(["canary", "dev", "promote" if number == 3 else "abort"]) == 0
            wait(seen, 12)
        assert main(["rollback"]) == 0
        wait(seen, 12)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert {NUMBERS[version] for version in seen} >= {1, 2, 3, 4, 6}
    assert release(BROKEN).version not in seen
    assert len(seen) >= 156


def wait(seen: list[str], more: int) -> None:
    """Until so many more requests were answered."""
    wanted = len(seen) + more
    for _ in range(3000):
        if len(seen) >= wanted:
            return
        threading.Event().wait(0.01)
    raise AssertionError("the clients ended")


def test_each_caller_has_the_model_that_the_documented_hash_says_until_an_abort(url: str, place: Place) -> None:
    ask(url, "first")
    plan = begin(place, 2, 50)
    while ask(url, next(f"u{n}" for n in range(99) if plan.has(f"u{n}"))) != plan.version:
        pass
    stable = release(1).version
    for caller in (f"user {number}" for number in range(40)):
        assert {ask(url, caller) for _ in range(2)} == {plan.version if plan.has(caller) else stable}
    health: Any = HTTP.request("GET", f"{url}/health").json()
    assert health["canary"] == {"version": plan.version, "percent": 50, "state": "warm"}
    assert main(["canary", "dev", "abort"]) == 0
    time.sleep(0.1)  # MODEL_CHECK_SECONDS
    assert {ask(url, f"user {number}") for number in range(10)} == {stable}
    assert "canary" not in json.dumps(HTTP.request("GET", f"{url}/health").json())
