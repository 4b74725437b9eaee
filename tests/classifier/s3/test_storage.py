"""S3 as moto speaks it."""

from __future__ import annotations

import time
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from classifier.s3.storage import ObjectChangedError, ObjectMissingError, ObjectTooLargeError

if TYPE_CHECKING:
    from tests.conftest import Bucket

KEYS = [
    "images/a.jpg",
    "images/space plus+file.jpg",
    "images/ünïcode 鞋😀.jpg",
    "images/100%25 & <tags> \"quotes\" 'single'.jpg",
    "images/~!*();:@=$,?#[]{}|^`.jpg",
]


def _soon() -> float:
    return time.monotonic() + 10


def test_every_key_is_read_written_and_listed_as_it_is(bucket: Bucket) -> None:
    for number, key in enumerate(KEYS):
        if number % 2:
            bucket.put(key, key.encode())
        else:
            bucket.s3.put(bucket.name, key, key.encode(), _soon(), content_type="image/jpeg")
    assert [bucket.s3.get(bucket.name, key, _soon(), max_bytes=1000) for key in KEYS] == [key.encode() for key in KEYS]
    listed = bucket.boto.list_objects_v2(Bucket=bucket.name)["Contents"]
    assert {entry["Key"] for entry in listed} == set(KEYS)
    listing = bucket.s3.list(bucket.name, "images/", _soon())
    assert {info.key for info in listing.objects} == set(KEYS)


def test_a_listing_says_what_boto_says(bucket: Bucket) -> None:
    bucket.put("models/dev/architecture.json", b"{}")
    bucket.put("models/dev/old/architecture.json", b"{}")
    bucket.put("models/device.json", b"{}")
    (info,) = bucket.s3.list(bucket.name, "models/dev/", _soon(), delimiter="/").objects
    (theirs,) = bucket.boto.list_objects_v2(Bucket=bucket.name, Prefix="models/dev/", Delimiter="/")["Contents"]
    assert (info.key, info.etag, info.size) == (theirs["Key"], theirs["ETag"].strip('"'), theirs["Size"])
    assert abs(info.modified - theirs["LastModified"].timestamp()) < 1


def test_a_listing_carries_s3s_clock(bucket: Bucket) -> None:
    assert abs(bucket.s3.list(bucket.name, "", _soon()).server_time - time.time()) < 5


def test_versions_and_delete_markers_are_listed_newest_first(bucket: Bucket) -> None:
    key = "models/dev/labels file+1.txt"
    first, second = (bucket.put(key, data)["VersionId"] for data in (b"one", b"two"))
    bucket.boto.delete_object(Bucket=bucket.name, Key=key)
    infos = bucket.s3.list_versions(bucket.name, "models/dev/", _soon()).objects
    assert {info.key for info in infos} == {key}
    assert [info.version_id for info in infos if not info.deleted] == [second, first]
    assert [info.deleted for info in infos].count(True) == 1
    assert bucket.s3.get(bucket.name, key, _soon(), max_bytes=10, version_id=first) == b"one"
    with pytest.raises(ObjectMissingError):
        bucket.s3.get(bucket.name, key, _soon(), max_bytes=10)


def test_long_listings_are_read_to_their_end(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    keys = [f"images/{number} +.jpg" for number in range(5)]
    for key in keys:
        bucket.put(key, b"x")
    assert [info.key for info in bucket.s3.list(bucket.name, "images/", _soon()).objects] == keys
    assert [info.key for info in bucket.s3.list_versions(bucket.name, "images/", _soon()).objects] == keys


def test_an_object_is_read_only_as_the_one_that_was_meant(bucket: Bucket) -> None:
    etag = bucket.put("k", b"one")["ETag"].strip('"')
    assert bucket.s3.get(bucket.name, "k", _soon(), max_bytes=10, if_match=etag) == b"one"
    bucket.put("k", b"two")
    with pytest.raises(ObjectChangedError):
        bucket.s3.get(bucket.name, "k", _soon(), max_bytes=10, if_match=etag)


def test_what_is_missing_is_missing(bucket: Bucket) -> None:
    with pytest.raises(ObjectMissingError):
        bucket.s3.get(bucket.name, "nothing", _soon(), max_bytes=10)


def test_the_limit_on_bytes_holds(bucket: Bucket) -> None:
    bucket.put("k", b"x" * 11)
    assert len(bucket.s3.get(bucket.name, "k", _soon(), max_bytes=11)) == 11
    with pytest.raises(ObjectTooLargeError):
        bucket.s3.get(bucket.name, "k", _soon(), max_bytes=10)


def test_put_returns_the_etag_that_a_listing_shows(bucket: Bucket) -> None:
    etag = bucket.s3.put(bucket.name, "k", b"data", _soon(), content_type="application/json")
    head = bucket.boto.head_object(Bucket=bucket.name, Key="k")
    assert (head["ETag"].strip('"'), head["ContentType"]) == (etag, "application/json")


def test_a_conditional_put_does_not_overwrite(bucket: Bucket) -> None:
    bucket.s3.put(bucket.name, "k", b"one", _soon(), content_type="text/plain", condition={"if-none-match": "*"})
    with pytest.raises(ObjectChangedError):
        bucket.s3.put(bucket.name, "k", b"two", _soon(), content_type="text/plain", condition={"if-none-match": "*"})
    assert bucket.s3.get(bucket.name, "k", _soon(), max_bytes=10) == b"one"


def test_a_megabytes_large_object_arrives_whole_on_many_threads_at_once(bucket: Bucket) -> None:
    data = bytes(range(256)) * 20_000
    bucket.put("large", data)
    same: list[bool] = []

    def read() -> None:
        same.append(bucket.s3.get(bucket.name, "large", _soon(), max_bytes=len(data)) == data)

    threads = [Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 8
