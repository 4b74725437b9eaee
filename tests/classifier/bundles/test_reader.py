"""What a reader adds to choosing: it remembers when it first saw what S3 dates too early."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from classifier.bundles.bundle import Snapshot, Unsettled
from classifier.bundles.reader import BundleReader
from classifier.s3.listing import Listing, ObjectInfo

if TYPE_CHECKING:
    from classifier.s3.storage import S3

PREFIX = "models/dev/"


class Listed:
    """An S3 that lists what a test says, at a time that it says."""

    def __init__(self) -> None:
        self.objects: tuple[ObjectInfo, ...] = ()
        self.now = 0.0

    def list(self, *_: object) -> Listing:
        return Listing(self.objects, self.now)


def etags(found: object) -> dict[str, str]:
    assert isinstance(found, Snapshot), found
    return {part.role: part.etag for part in found.parts}


def reader() -> tuple[Listed, BundleReader]:
    s3 = Listed()
    return s3, BundleReader(cast("S3", s3), "b", PREFIX, settle_s=10, max_bytes=1000)


def bundle(weights: str, modified: float) -> tuple[ObjectInfo, ...]:
    architecture = ObjectInfo(f"{PREFIX}architecture.json", "A1", 10, 100.0)
    return architecture, ObjectInfo(f"{PREFIX}model.weights.h5", weights, 10, modified)


def test_an_upload_in_parts_counts_once_it_was_seen_for_the_settling_time() -> None:
    s3, found = reader()
    s3.objects, s3.now = bundle("W1", 100.0), 200.0
    assert etags(found.look(0).newest)["weights"] == "W1"
    s3.objects, s3.now = bundle("W2-7", 150.0), 260.0  # begun at 150, there since a moment ago
    assert found.look(0).newest == Unsettled(10)
    s3.now = 265.0
    assert found.look(0).newest == Unsettled(5)
    s3.now = 270.0
    assert etags(found.look(0).newest)["weights"] == "W2-7"
    s3.objects, s3.now = bundle("W3-7", 200.0), 280.0
    assert found.look(0).newest == Unsettled(10)


def test_a_first_look_takes_the_time_that_s3_says() -> None:
    s3, found = reader()
    s3.objects, s3.now = bundle("W2-7", 150.0), 161.0  # S3's 150 may have been 150.9
    assert etags(found.look(0).newest)["weights"] == "W2-7"
    assert etags(found.look(0).newest)["weights"] == "W2-7"


def test_an_upload_in_one_piece_is_dated_at_its_end() -> None:
    s3, found = reader()
    s3.objects, s3.now = bundle("W1", 100.0), 200.0
    found.look(0)
    s3.objects, s3.now = bundle("W2", 250.0), 261.0
    assert etags(found.look(0).newest)["weights"] == "W2"
