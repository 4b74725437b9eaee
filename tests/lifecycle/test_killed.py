"""Publishing, promoting and going back, killed at any moment: what was served still is, whole, or the new one is."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lifecycle import record
from lifecycle.place import Place
from local.launch import PROJECT
from local.s3 import S3Request
from tests.conftest import Bucket
from tests.support.killing import nth, run_killed
from tests.support.stand_ins import compiled_is_whole, publish, release, served

REQUESTS = 9
"""S3 requests of one publication, at least."""
RANDOM_KILLS = int(os.environ.get("RANDOM_KILLS", "30"))
PROMOTE = ["promote", "--from", "dev", "--to", "prod"]
WRITES = {"promote": 6, "rollback": 1}
COMMAND = [sys.executable, str(PROJECT / "scripts" / "models")]
LOST_OR_DONE = pytest.mark.parametrize("lost", [False, True], ids=["request done", "request lost"])


def whole(place: Place) -> str:
    """The version that is served: what published.json says, with every object and its compiled form."""
    current = record.read_current(place)
    assert current is not None
    assert served(place) == current.version
    assert compiled_is_whole(place, current.version)
    return current.version


@LOST_OR_DONE
def test_publishing_killed_at_any_request_leaves_what_was_served(place: Place, bucket: Bucket, lost: bool) -> None:
    old = publish(place, 1).version
    for moment in range(50):
        # Another release each time: of one that is half there, what is there is not uploaded again.
        finished = run_killed(bucket, 2 + moment, nth(moment), lost=lost)
        if whole(place) == release(2 + moment).version:
            break
        assert served(place) == old
    # The last request writes published.json: killed after it was sent, the new model is published.
    assert moment + finished >= REQUESTS - (not lost)


def test_publishing_killed_at_random_moments_leaves_a_whole_model(place: Place, bucket: Bucket) -> None:
    versions = {publish(place, 1).version}
    chance = random.Random(5)
    for number in range(2, 2 + RANDOM_KILLS):
        versions.add(release(number).version)
        run_killed(bucket, number, nth(chance.randrange(REQUESTS)), lost=False, late_s=chance.random() * 0.05)
        assert whole(place) in versions


def test_publishing_the_served_model_again_and_dying_keeps_its_compiled_form(place: Place, bucket: Bucket) -> None:
    version = publish(place, 1).version
    for moment in range(3, REQUESTS):
        run_killed(bucket, 1, nth(moment), lost=False)
        assert whole(place) == version


@LOST_OR_DONE
@pytest.mark.parametrize("verb", WRITES)
def test_promoting_or_going_back_killed_at_any_write_leaves_what_was_served(
    place: Place, bucket: Bucket, verb: str, lost: bool
) -> None:
    first, second = (publish(place, number).version for number in (1, 2))
    prod = Place(bucket.name, "models/prod/", bucket.boto)
    publish(prod, 1)
    target, new = (prod, second) if verb == "promote" else (place, first)
    command, old = (PROMOTE, first) if verb == "promote" else (["rollback", "dev"], second)
    for moment in range(WRITES[verb] + 1):
        run_killed(bucket, command, nth(moment, "PUT"), lost=lost)
        if whole(target) == new:
            break
        assert served(target) == old
    assert (whole(place), whole(prod)) == ((second, second) if verb == "promote" else (first, first))
    assert moment > 0 or verb == "rollback"


@pytest.mark.tensorflow
def test_the_whole_command_killed_while_it_uploads_leaves_what_was_served(
    place: Place, sources: Path, bucket: Bucket, capsys: Any
) -> None:
    from tests.support.model_sources import answer
    from tests.support.model_sources import publish as publish_for_real

    version = publish_for_real(capsys, sources / "bundle")["version"]
    arguments = [*COMMAND, "publish", str(sources / "bundle"), "--preprocessing", "unit"]
    process: subprocess.Popen[bytes]

    def kill_at_the_weights(request: S3Request) -> bool:
        if request.method == "PUT" and request.path.endswith("model.weights.h5"):
            process.send_signal(signal.SIGKILL)
        return False

    process = subprocess.Popen(arguments, env=os.environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    bucket.server.failing = kill_at_the_weights
    assert process.wait(300) == -signal.SIGKILL
    bucket.server.failing = None
    assert whole(place) == version
    assert answer(place, 128).shape == (3,)
