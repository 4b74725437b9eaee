"""In the local Lambda a canary that is ended, by command or by CloudWatch's alarm, is gone at the next check."""

from __future__ import annotations

import json
import os
import time
import uuid
from copy import replace
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from classifier.bundles.canary import Plan
from classifier.bundles.compiled import MODEL, parse_report
from lifecycle import record
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.release import Release, put_release
from lifecycle.shares import Share
from local.seed import compiled_form, read_bundle, version_of
from local.template import read_template
from tests.support.demo import BUNDLE, SAMPLES, demo
from tests.support.stand_ins import quietly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.s3 import LocalS3
    from tests.support.demo import Demo

pytestmark = pytest.mark.lambda_
CHECK_S = float(os.environ.get("MODEL_CHECK_S", "0.5"))
PATIENCE_S = 120.0
HTTP = urllib3.PoolManager(timeout=60, retries=False)


def clothing(mark: str) -> Release:
    """The demo with its compiled form, its labels marked: another version, told apart by every reply."""
    files = read_bundle(BUNDLE)
    form = compiled_form(BUNDLE, files)
    assert form is not None
    serving = json.loads(files["serving.json"])
    serving["labels"] = [f"{label}{mark}" for label in serving["labels"]]
    files |= {"serving.json": json.dumps(serving).encode()}
    report = parse_report((form / "report.json").read_bytes())
    own = replace(report, fingerprint=version_of(files), serving=files["serving.json"].decode(), identities=())
    compiled = {MODEL: (form / MODEL).read_bytes()}
    return Release(files=files, source="the demo", report=own, compiled=compiled)


@pytest.fixture
def served(s3_server: LocalS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    name, check = f"ends-{uuid.uuid4().hex[:8]}", str(CHECK_S)
    with demo(s3_server, name, ENGINE="litert", MODEL_CHECK_SECONDS=check, CALLER_HEADER="x-user") as running:
        yield running


def ask(served: Demo, caller: str) -> str:
    """The version that answered, with its own labels."""
    headers = {"content-type": "image/jpeg", "x-user": caller}
    url = f"{served.cloud.url}/classify?top=1"
    reply = HTTP.request("POST", url, body=SAMPLES[0].read_bytes(), headers=headers)
    document: Any = reply.json()
    assert reply.status == 200, document
    version: str = document["model"]["version"]
    assert document["predictions"][0]["label"].endswith("!") is (version == clothing("!").version)
    return version


def until(served: Demo, caller: str, version: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while ask(served, caller) != version:
        assert time.monotonic() < end, f"{version} does not answer {caller}"
        time.sleep(0.05)


@pytest.mark.parametrize("how", ["command", "alarm"])
def test_an_ended_canary_answers_nobody_after_the_next_check(served: Demo, how: str) -> None:
    place = Place(served.models, served.prefix, served.s3)
    stable = put_release(place, clothing(""), None, quietly)
    other = clothing("!")
    plan = Plan(other.version, 50, shadow=False, snapshot=None)
    its = [caller for caller in map(str, range(40)) if plan.has(caller)]
    until(served, its[0], stable.version)
    put_release(place, other, record.read_current(place), quietly, Share(50, abort_on=("errors",)))
    until(served, its[0], other.version)
    if how == "alarm":
        name = next(one.name for one in read_template().functions if one.handler == "handler.end_canary")
        at = time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime(time.time() + 5))
        state = {"value": "ALARM", "timestamp": at}
        told = served.cloud.invoke({"alarmData": {"alarmName": "a", "state": state}}, function=name)
        assert told == [{"canary": other.version, "ended": True, "stable": stable.version}]
    else:
        assert main(["canary", place.url, "abort"]) == 0
    began = time.monotonic()
    until(served, its[0], stable.version)
    print(f"live after {time.monotonic() - began:.1f} s, MODEL_CHECK_SECONDS={CHECK_S}")
    assert {ask(served, caller) for caller in its[:5]} == {stable.version}
