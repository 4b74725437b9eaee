"""Publishing into S3: killed at any request, raced, repeated; and going back. The models are stand-ins."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from classifier.bundle import Snapshot
from classifier.compiled import Report, key_of
from classifier.serving import ModelShape
from local.s3 import S3Request
from models import record
from models.command import main
from models.errors import ConflictError
from models.place import Place
from models.release import Release, put_release, usable_report
from tests.conftest import Bucket

PREFIX = "models/dev/"
REQUESTS = 8
"""S3 requests of one publication, at least."""
RANDOM_KILLS = 10
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["boto3", "models.release", "tests.test_models_release"])


def release(number: int) -> Release:
    """A stand-in for a converted and compiled model."""
    files = {
        "architecture.json": json.dumps({"number": number}).encode(),
        "model.weights.h5": f"weights {number}".encode() * 1000,
        "serving.json": json.dumps({"labels": [f"label {number}"]}).encode(),
    }
    compiled = f"compiled {number}".encode() * 500
    found = Release(files=files, source=f"number {number}", facts={"verified": True, "labels": 1, "action": "publish"})
    report = Report(
        fingerprint=found.version,
        usable=True,
        reason="",
        identities=(),
        shape=ModelShape(8, 8, 3, 1, None),
        serving=files["serving.json"].decode(),
        labels=None,
        model_sha256=hashlib.sha256(compiled).hexdigest(),
        model_bytes=len(compiled),
    )
    return Release(
        files=files, source=found.source, facts=found.facts, report=report, compiled={"model.tflite": compiled}
    )


def quietly(_line: str) -> None:
    """Progress that nobody reads."""


def publish(place: Place, number: int) -> record.Record:
    return put_release(place, release(number), record.read_current(place), quietly)


def publish_elsewhere(bucket: str, endpoint: str, number: int) -> None:
    """What the process does that gets killed."""
    import boto3

    client = boto3.session.Session("test", "test", region_name="us-east-1").client("s3", endpoint_url=endpoint)
    publish(Place(bucket, PREFIX, client), number)


@pytest.fixture
def place(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty place, which the environment names too; swaps by hand count at once there."""
    for name, value in {
        "AWS_ENDPOINT_URL": bucket.endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MODEL_BUCKET": bucket.name,
        "MODEL_PREFIX": PREFIX,
        "SWAP_SETTLE_SECONDS": "0",
    }.items():
        monkeypatch.setenv(name, value)
    return Place(bucket.name, PREFIX, bucket.boto)


def served(place: Place) -> str:
    """The version that a function would load, read whole and checked against its digests."""
    store = place.store()
    deadline = time.monotonic() + 30
    newest = store.bundles.look(deadline).newest
    assert isinstance(newest, Snapshot)
    return store.bundles.read(newest, deadline).fingerprint


def compiled_is_whole(place: Place, version: str) -> bool:
    """Whether LiteRT would serve the version: the report is about exactly the model that lies there."""
    report = usable_report(place, version)
    key = key_of(PREFIX, version, "model.tflite")
    model = place.client.get_object(Bucket=place.bucket, Key=key)["Body"].read()
    return report is not None and hashlib.sha256(model).hexdigest() == report.model_sha256


@pytest.fixture
def killed(bucket: Bucket) -> Callable[[int, Callable[[int, int], bool]], bool]:
    """Publishes from another process while `decide(n, request, pid)` is asked about each of its requests;
    whether it came to its end. `decide` kills, and says whether the request shall fail.
    """

    def run(number: int, decide: Callable[[int, int], bool]) -> bool:
        process = FORKS.Process(target=publish_elsewhere, args=(bucket.name, bucket.endpoint_url, number))
        count = 0

        def failing(_request: S3Request) -> bool:
            nonlocal count
            count += 1
            return process.pid is not None and decide(count - 1, process.pid)

        bucket.server.failing = failing
        process.start()
        process.join(60)
        bucket.server.failing = None
        return process.exitcode == 0

    return run


@pytest.mark.parametrize(("answered", "begin"), [(True, 0), (False, 5)], ids=["request done", "request lost"])
def test_publishing_killed_at_any_request_leaves_what_was_served(
    place: Place, killed: Any, answered: bool, begin: int
) -> None:
    old = publish(place, 1).version
    for moment in range(begin, 50):

        def decide(count: int, pid: int, moment: int = moment) -> bool:
            if count == moment:
                os.kill(pid, signal.SIGKILL)
            return count == moment and not answered

        # Another release each time: of one that is half there, what is there is not uploaded again.
        finished = killed(2 + moment, decide)
        current = record.read_current(place)
        assert current is not None
        assert served(place) == current.version
        assert compiled_is_whole(place, current.version)
        if current.version == release(2 + moment).version:
            break
        assert current.version == old
    # The last request writes published.json: killed after it was sent, the new model is published.
    assert moment + finished >= REQUESTS - answered


def test_publishing_killed_at_random_moments_leaves_a_whole_model(place: Place, killed: Any) -> None:
    versions = {publish(place, 1).version}
    chance = random.Random(5)
    for number in range(2, 2 + RANDOM_KILLS):
        last = chance.randrange(REQUESTS)
        pause = chance.random() * 0.05

        def decide(count: int, pid: int, last: int = last, pause: float = pause) -> bool:
            if count == last:
                time.sleep(pause)
                os.kill(pid, signal.SIGKILL)
            return False

        killed(number, decide)
        current = record.read_current(place)
        assert current is not None
        versions.add(release(number).version)
        assert served(place) == current.version
        assert current.version in versions
        assert compiled_is_whole(place, current.version)


def test_publishing_the_served_model_again_and_dying_keeps_its_compiled_form(place: Place, killed: Any) -> None:
    version = publish(place, 1).version
    for moment in range(3, REQUESTS):

        def decide(count: int, pid: int, moment: int = moment) -> bool:
            if count == moment:
                os.kill(pid, signal.SIGKILL)
            return False

        killed(1, decide)
        assert served(place) == version
        assert compiled_is_whole(place, version)


def test_of_two_who_publish_at_once_one_wins_and_the_other_is_told(place: Place) -> None:
    publish(place, 1)
    seen = record.read_current(place)
    winner = put_release(place, release(2), seen, quietly)
    with pytest.raises(ConflictError, match=winner.version):
        put_release(place, release(3), seen, quietly)
    assert served(place) == winner.version


def test_of_two_who_publish_first_one_wins_and_the_other_is_told(place: Place) -> None:
    winner = put_release(place, release(1), None, quietly)
    with pytest.raises(ConflictError, match=winner.version):
        put_release(place, release(2), None, quietly)
    assert served(place) == winner.version


def test_a_publication_whose_reply_was_lost_is_not_taken_for_a_rival(place: Place) -> None:
    written = publish(place, 1)
    again = record.write(place, written.document, None)
    assert again.document == written.document
    assert len(record.history(place)) == 1


def test_nothing_is_ever_written_where_a_swap_by_hand_would_count(place: Place, bucket: Bucket) -> None:
    publish(place, 1)
    publish(place, 2)
    listed = bucket.boto.list_objects_v2(Bucket=bucket.name, Prefix=PREFIX, Delimiter="/")
    assert [item["Key"] for item in listed["Contents"]] == [f"{PREFIX}published.json"]


def test_a_rollback_goes_one_back_each_time_and_says_how_to_undo_it(place: Place, capsys: Any) -> None:
    first, second, third = (publish(place, number).version for number in (1, 2, 3))
    assert main(["rollback"]) == 0
    assert served(place) == second
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"rollback {place.url} --to {third}")
    assert main(["rollback"]) == 0
    assert served(place) == first
    assert main(["rollback"]) == 3
    assert served(place) == first
    assert main(["rollback", "--to", third[:6]]) == 0
    assert served(place) == third
    assert compiled_is_whole(place, third)


def test_what_was_rolled_back_from_is_not_gone_back_to(place: Place) -> None:
    first = publish(place, 1).version
    publish(place, 2)
    assert main(["rollback"]) == 0
    publish(place, 3)
    assert main(["rollback"]) == 0
    assert served(place) == first


def test_a_rollback_from_a_swap_by_hand_goes_to_what_is_published(place: Place, bucket: Bucket) -> None:
    published = publish(place, 1).version
    time.sleep(1)  # S3's clock has whole seconds
    bucket.put(f"{PREFIX}model.weights.h5", b"by hand")
    assert served(place) != published
    time.sleep(1)
    assert main(["rollback", place.url]) == 0
    assert served(place) == published


def test_a_rollback_writes_nothing_but_published_json(place: Place, bucket: Bucket) -> None:
    publish(place, 1)
    publish(place, 2)
    bucket.server.requests.clear()
    assert main(["rollback"]) == 0
    changed = [request.path for request in bucket.server.requests if request.method not in ("GET", "HEAD")]
    assert changed == [f"/{bucket.name}/{PREFIX}published.json"]


def test_a_dry_run_of_a_rollback_writes_nothing(place: Place, bucket: Bucket) -> None:
    publish(place, 1)
    publish(place, 2)
    bucket.server.requests.clear()
    assert main(["rollback", "--dry-run"]) == 0
    assert {request.method for request in bucket.server.requests} <= {"GET", "HEAD"}


def test_a_version_whose_objects_are_gone_is_passed_over(place: Place, bucket: Bucket, capsys: Any) -> None:
    first, lost, _ = (publish(place, number) for number in (1, 2, 3))
    entry = lost.objects["model.weights.h5"]
    bucket.boto.delete_object(Bucket=bucket.name, Key=entry["key"], VersionId=entry["version_id"])
    assert main(["rollback", "--to", lost.version]) == 3
    assert main(["rollback"]) == 0
    assert served(place) == first.version
    capsys.readouterr()
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(row["version"], row["serves"], row["whole"]) for row in listed["versions"]][1:] == [
        (lost.version, False, False),
        (first.version, True, True),
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "--version", "0000"], 2),
        (["show", "not a place"], 2),
        (["list", "s3://no-such-bucket-here/models"], 3),
        (["diff"], 3),
        (["rollback", "--to", ""], 3),
        (["promote", "--from", "dev", "--to", "dev"], 2),
        (["promote", "--from", "nothing", "--to", "dev"], 3),
    ],
)
def test_what_can_not_be_done_ends_with_a_sentence_and_its_code(
    place: Place, capsys: Any, arguments: list[str], code: int
) -> None:
    publish(place, 1)
    assert main(arguments) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("models: ")


def test_a_diff_names_what_changed(place: Place, capsys: Any) -> None:
    publish(place, 1)
    publish(place, 2)
    assert main(["diff", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["facts"]["source"] == ["number 1", "number 2"]
    assert [line for line in document["serving.json"] if line[1:].strip().startswith('"label ')] == [
        '-  "label 1"',
        '+  "label 2"',
    ]


def test_promoting_copies_the_pinned_versions_and_the_compiled_form(place: Place, bucket: Bucket) -> None:
    version = publish(place, 1).version
    bucket.put(f"{PREFIX}versions/{version}/model.weights.h5", b"written over afterwards")
    assert main(["promote", "--from", "dev", "--to", "prod"]) == 0
    prod = Place(bucket.name, "models/prod/", bucket.boto)
    assert served(prod) == version
    assert usable_report(prod, version) is not None
    copied = record.read_current(prod)
    assert copied is not None
    assert copied.document["promoted_from"] == place.url


@pytest.mark.usefixtures("place")
def test_promoting_what_nobody_verified_is_refused_unless_asked_for(bucket: Bucket) -> None:
    for name, data in release(1).files.items():
        bucket.put(PREFIX + name, data)
    assert main(["promote", "--from", "dev", "--to", "prod"]) == 1
    assert main(["promote", "--from", "dev", "--to", "prod", "--unverified"]) == 0
    assert served(Place(bucket.name, "models/prod/", bucket.boto)) == release(1).version
    assert main(["promote", "--from", "prod", "--to", "third"]) == 1


@pytest.mark.usefixtures("place")
def test_a_bundle_swapped_in_by_hand_and_compiled_can_be_promoted(bucket: Bucket) -> None:
    given = release(1)
    etags = {name: bucket.put(PREFIX + name, data)["ETag"].strip('"') for name, data in given.files.items()}
    assert given.report is not None
    roles = {"architecture.json": "architecture", "model.weights.h5": "weights", "serving.json": "serving"}
    report = given.report.also_for(frozenset((roles[name], etag) for name, etag in etags.items()))  # type: ignore[misc]
    bucket.put(key_of(PREFIX, given.version, "model.tflite"), given.compiled["model.tflite"])
    bucket.put(key_of(PREFIX, given.version, "report.json"), report.to_json())
    assert main(["promote", "--from", "dev", "--to", "prod"]) == 0
    prod = Place(bucket.name, "models/prod/", bucket.boto)
    assert served(prod) == given.version
    assert compiled_is_whole(Place(bucket.name, PREFIX, bucket.boto), given.version)
