"""Promoting: exactly what serves, with its compiled form, and only what was verified."""

from __future__ import annotations

import dataclasses
import json
import time
from copy import replace
from hashlib import sha256
from typing import Any

import pytest

from classifier.bundles.bundle import Snapshot
from classifier.bundles.compiled import EXPLAIN, HEAD, MODEL, key_of
from classifier.bundles.serving import ModelShape
from lifecycle import record
from lifecycle.command import main
from lifecycle.place import Place
from lifecycle.release import put_release, usable_report
from tests.conftest import PLACE_PREFIX, Bucket
from tests.support.stand_ins import compiled_is_whole, publish, quietly, release, served


def test_promoting_copies_the_pinned_versions_and_the_compiled_form(place: Place, bucket: Bucket) -> None:
    version = publish(place, 1).version
    bucket.put(f"{PLACE_PREFIX}versions/{version}/model.weights.h5", b"written over afterwards")
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
        bucket.put(PLACE_PREFIX + name, data)
    assert main(["promote", "--from", "dev", "--to", "prod"]) == 1
    assert main(["promote", "--from", "dev", "--to", "prod", "--unverified"]) == 0
    assert served(Place(bucket.name, "models/prod/", bucket.boto)) == release(1).version
    assert main(["promote", "--from", "prod", "--to", "third"]) == 1


@pytest.mark.usefixtures("place")
def test_a_bundle_swapped_in_by_hand_and_compiled_can_be_promoted(bucket: Bucket) -> None:
    given = release(1)
    etags = {name: bucket.put(PLACE_PREFIX + name, data)["ETag"].strip('"') for name, data in given.files.items()}
    assert given.report is not None
    roles = {"architecture.json": "architecture", "model.weights.h5": "weights", "serving.json": "serving"}
    report = given.report.also_for(frozenset((roles[name], etag) for name, etag in etags.items()))  # type: ignore[misc]
    bucket.put(key_of(PLACE_PREFIX, given.version, "model.tflite"), given.compiled["model.tflite"])
    bucket.put(key_of(PLACE_PREFIX, given.version, "report.json"), report.to_json())
    assert main(["promote", "--from", "dev", "--to", "prod"]) == 0
    prod = Place(bucket.name, "models/prod/", bucket.boto)
    assert served(prod) == given.version
    assert compiled_is_whole(Place(bucket.name, PLACE_PREFIX, bucket.boto), given.version)


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
    assert document["serving.json"] == ["labels: gone label 1; new label 2"]
    assert main(["diff"]) == 0
    assert "serving.json:\n  labels: gone label 1; new label 2" in capsys.readouterr().out


def test_a_bundle_that_functions_refuse_is_named_so_and_what_they_serve_for_it_too(
    bucket: Bucket, place: Place, capsys: Any
) -> None:
    given = release(1)
    older, _ = publish(place, 2).version, publish(place, 1)
    time.sleep(1)  # S3's clock has whole seconds
    put = bucket.put(PLACE_PREFIX + "architecture.json", b"broken")["ETag"].strip('"')
    newest = place.store().bundles.look(time.monotonic() + 60).newest
    assert given.report is not None
    assert isinstance(newest, Snapshot)
    assert ("architecture", put) in newest.identity
    refused = replace(
        given.report,
        fingerprint="f" * 16,
        usable=False,
        reason="model_invalid: no such layer",
        shape=ModelShape(None, None, 0, 0, None),
        identities=(newest.identity,),
    )
    bucket.put(key_of(PLACE_PREFIX, refused.fingerprint, "report.json"), refused.to_json())
    told = {}
    for verb in ("list", "show", "prune"):
        capsys.readouterr()
        assert main([verb, "dev"]) == 0
        told[verb] = capsys.readouterr().out
    for verb in ("list", "show"):
        assert f"Refused  {'f' * 16}, which is newest, can't be served: model_invalid: no such layer" in told[verb]
        assert f"Functions serve {given.version}, the last good model." in told[verb]
    assert "Serving now" not in told["list"]
    states = {line.split()[0]: "serves" in line for line in told["list"].splitlines()[1:3]}
    assert states == {given.version: True, older: False}
    assert f"Model    {given.version}" in told["show"]
    assert f"Keeps    {'f' * 16}: newest, and refused: it serves nowhere" in told["prune"]
    assert f"Keeps    {given.version}: serves, as {'f' * 16} is refused" in told["prune"]
    assert main(["list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["serving"], document["refused_version"]) == (given.version, "f" * 16)


def test_what_explains_goes_with_the_model_that_it_is_about(place: Place, bucket: Bucket) -> None:
    given = release(1)
    assert given.report is not None
    sums = {"sha256": sha256(b"head").hexdigest(), "model_sha256": given.report.model_sha256}
    report = replace(given.report, measured={EXPLAIN: sums})
    put_release(
        place, dataclasses.replace(given, report=report, compiled={**given.compiled, HEAD: b"head"}), None, quietly
    )
    assert main(["promote", "--from", "dev", "--to", "prod"]) == 0
    prod = Place(bucket.name, "models/prod/", bucket.boto)
    found = usable_report(prod, given.version)
    assert found is not None
    assert found.objects == (MODEL, HEAD)
    assert prod.store().compiled.head(found, time.monotonic() + 10) == b"head"
    other = replace(found, measured={EXPLAIN: {**sums, "model_sha256": "0" * 64}})
    assert (other.head_sha256, other.objects) == ("", (MODEL,))
