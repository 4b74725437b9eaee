"""Stand-ins for converted and compiled models, which cost nothing to publish, and what a function makes of them."""

from __future__ import annotations

import hashlib
import json
import time

from classifier.bundles.bundle import Snapshot
from classifier.bundles.compiled import Report, key_of
from classifier.bundles.serving import ModelShape
from lifecycle import record
from lifecycle.place import Place
from lifecycle.release import Release, put_release, usable_report


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
    """Publish the stand-in of this number."""
    return put_release(place, release(number), record.read_current(place), quietly)


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
    key = key_of(place.prefix, version, "model.tflite")
    model = place.client.get_object(Bucket=place.bucket, Key=key)["Body"].read()
    return report is not None and hashlib.sha256(model).hexdigest() == report.model_sha256
