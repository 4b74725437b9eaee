"""What each verb writes in S3 is what docs/operate/models.md says that its user needs, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lifecycle import marks, prune, record
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.release import put_release
from lifecycle.shares import Share
from local.launch import PROJECT
from tests.conftest import Bucket
from tests.support.roles import call_of
from tests.support.stand_ins import publish, release

if TYPE_CHECKING:
    from local.s3 import S3Request

READING = {"s3:ListBucket", "s3:ListBucketVersions", "s3:GetObject", "s3:GetObjectVersion"}
_ROW = re.compile(r"\| (`.+) \| (none|`s3:\w+`) \| (.*)\|")


def documented() -> dict[str, set[tuple[str, str]]]:
    """(action, folder or name) by verb, out of the page's table."""
    found: dict[str, set[tuple[str, str]]] = {}
    for line in (PROJECT / "docs" / "operate" / "models.md").read_text().splitlines():
        if row := _ROW.fullmatch(line):
            places = re.findall(r"`([^`*/]+)(?:/\*)?`", row[3])
            for verb in re.findall(r"`([a-z]+)`", row[1]):
                found[verb] = {(row[2].strip("`"), place) for place in places}
    return found


def used(requests: list[S3Request], place: Place) -> set[tuple[str, str]]:
    """The same of recorded requests; reading is checked against what every verb may."""
    found = set()
    for request in requests:
        if request.method == "POST" and request.query == "delete":
            found |= {("s3:DeleteObjectVersion", folder) for folder in ("versions", "compiled")}
            continue
        call = call_of(request)
        if call.action in READING:
            continue
        key = call.resource.removeprefix(f"arn:aws:s3:::{place.bucket}/")
        assert key.startswith(place.prefix), key
        found.add((call.action, key.removeprefix(place.prefix).partition("/")[0]))
    return found


@pytest.mark.parametrize(
    "verb", ["list", "show", "diff", "export", "verify", "rollback", "publish", "promote", "canary", "prune"]
)
def test_a_verb_writes_what_the_page_says_and_nothing_else(
    place: Place, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    versions = [publish(place, number).version for number in (1, 2)]
    prod = Place(bucket.name, "models/prod/", bucket.boto)
    monkeypatch.setattr(prune, "FRESH_S", 0.0)
    if verb == "canary":
        put_release(place, release(3), record.read_current(place), print, Share(10))
    bucket.server.requests.clear()
    match verb:
        case "publish":
            publish(place, 3)
        case "verify":
            marks.write_mark(place, versions[1], {"passed": True})
        case "promote":
            assert main(["promote", "--from", "dev", "--to", "prod"]) == 0
        case "canary":
            assert main(["canary", "dev", "raise", "50"]) == 0
            assert main(["canary", "dev", "abort"]) == 0
        case "prune":
            assert main(["prune", "--keep", "1", "--yes"]) == 0
        case "export":
            assert main(["export", "--as", "tflite", "--out", str(tmp_path / "x.tflite")]) in (0, 1)
        case _:
            assert main([verb]) == 0
    assert used(list(bucket.server.requests), prod if verb == "promote" else place) == documented()[verb]
