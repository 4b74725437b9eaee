"""S3 that answers late, with errors, or half: each verb ends with a sentence and its code, and what is served stays."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from classifier.s3 import exchange
from lifecycle import record
from lifecycle.command import main
from lifecycle.errors import ConflictError, PlaceError
from lifecycle.place import Place
from lifecycle.release import put_release
from tests.conftest import Bucket
from tests.support.stand_ins import compiled_is_whole, publish, quietly, release, served
from tests.support.troubled_s3 import FAULTS, TroubledS3

VERBS: dict[str, list[str]] = {
    "list": ["list", "--json"],
    "show": ["show", "--json"],
    "diff": ["diff"],
    "rollback": ["rollback"],
    "promote": ["promote", "--from", "dev", "--to", "prod"],
    "export": ["export", "--as", "tflite", "--out", "out.tflite"],
}


@pytest.fixture
def troubled(bucket: Bucket, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[TroubledS3]:
    """A place with two publications, behind a proxy that verbs ask; without the long pauses between attempts."""
    import boto3

    publish(place, 1)
    publish(place, 2)
    publish(Place(bucket.name, "models/prod/", bucket.boto), 1)
    monkeypatch.setattr(exchange, "BACKOFF_S", 0.001)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.chdir(tmp_path)
    session = boto3.session.Session()  # reads S3's description once
    monkeypatch.setattr(boto3.session, "Session", lambda: session)
    with TroubledS3(bucket.endpoint_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


def cases(count: int) -> Iterator[tuple[str, int]]:
    """Faults, and which of so many requests is the first to fail: with THOROUGH=1 each by each, else each once."""
    if os.environ.get("THOROUGH"):
        yield from itertools.product(FAULTS, range(count))
    else:
        yield from ((fault, (count - 1, count // 2, 0, count - 2)[index % 4]) for index, fault in enumerate(FAULTS))


def requests_of(troubled: TroubledS3, arguments: list[str]) -> int:
    """How many requests the verb makes when nothing goes wrong; of what writes, those of its dry run and two more."""
    before = troubled.count
    dry = ["--dry-run"] if arguments[0] in ("rollback", "promote") else []
    assert main([*arguments, *dry]) in (0, 1, 3)
    return troubled.count - before + 2 * len(dry)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_ends_with_a_sentence_whatever_request_fails(
    troubled: TroubledS3, place: Place, bucket: Bucket, capsys: Any, verb: str
) -> None:
    def published() -> list[str]:
        keys = (f"{place.prefix}published.json", "models/prod/published.json")
        return [bucket.boto.head_object(Bucket=bucket.name, Key=key)["ETag"] for key in keys]

    for fault, first in cases(requests_of(troubled, VERBS[verb])):
        before = published()
        capsys.readouterr()
        troubled.fault = _from(troubled.count + first, fault)
        code = main(VERBS[verb])
        told = capsys.readouterr()
        troubled.fault = _from(0, None)
        if fault != "slow" and code:
            assert (code in (1, 3), told.err.splitlines()[-1][:8]) == (True, "models: "), told.err
            assert published() == before or "did not say whether" in told.err
    for asked in (place, Place(bucket.name, "models/prod/", bucket.boto)):
        assert compiled_is_whole(asked, served(asked))


def test_publishing_ends_with_a_sentence_whatever_request_fails(troubled: TroubledS3, place: Place) -> None:
    import boto3

    asked = Place(place.bucket, place.prefix, boto3.session.Session().client("s3"))
    for number, (fault, first) in enumerate(cases(10)):
        seen, before = record.read_current(place), served(place)
        troubled.fault = _from(troubled.count + first, fault)
        try:
            expected = {put_release(asked, release(100 + number), seen, quietly).version}
        except (PlaceError, ConflictError) as error:
            expected = {before, release(100 + number).version} if "did not say" in str(error) else {before}
        troubled.fault = _from(0, None)
        assert served(place) in expected
        assert compiled_is_whole(place, served(place))


def _from(first: int, fault: str | None) -> Callable[[int, str], str | None]:
    return lambda number, _method: fault if number >= first else None
