"""What `s3key` may read, and what the caller is told otherwise."""

from __future__ import annotations

import gzip
import time
from typing import TYPE_CHECKING

import pytest

from classifier.errors import (
    ImageError,
    ImageTooLargeError,
    S3KeyError,
    S3ObjectNotFoundError,
    S3ObjectNotReadableError,
    StorageUnavailableError,
)
from classifier.service import ImageStore
from tests.support.origin import reply
from tests.support.scripted_s3 import ScriptedS3, error

if TYPE_CHECKING:
    from tests.support.origin import Behaviour


def read(
    key: str, behaviour: Behaviour, *, bucket: str = "pictures", prefix: str = "images/", most: int = 10
) -> tuple[bytes, int]:
    """The picture under a key, and the number of requests that it took."""
    with ScriptedS3(behaviour) as s3:
        store = ImageStore(s3.client, bucket, prefix, most)
        return store.read(key, time.monotonic() + 3), len(s3.requests)


@pytest.mark.parametrize(
    "key",
    [
        "images/a.jpg",
        "images/space plus+file.jpg",
        "images/ü/鞋😀.jpg",
        "images/Bildschirmfoto 9.41\u202fAM\xa0👩\u200d💻.png",
        "images/%2e%2e/a.jpg",  # these very characters: a key is not decoded twice
        "images/..a.jpg",
        "images/a..",
        "images/" + "k" * 1017,
    ],
)
def test_a_key_inside_the_prefix_is_read(key: str) -> None:
    assert read(key, reply(b"picture")) == (b"picture", 1)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a.jpg",
        "images",
        "images/",
        "imagesx/a.jpg",
        "Images/a.jpg",
        "/images/a.jpg",
        "../images/a.jpg",
        "images/../models/dev/architecture.json",
        "images/..",
        "images/./a.jpg",
        "images//a.jpg",
        "images/a/",
        "images/a/../../models/x",
        "models/dev/architecture.json",
        "s3://pictures/images/a.jpg",
        "https://pictures.s3.amazonaws.com/images/a.jpg?X-Amz-Signature=sesame",
        "images/a\0.jpg",
        "images/a\n.jpg",
        "images/a\u2028.jpg",
        "images/a\u202e.jpg",
        "images/a\u2066.jpg",
        "images/a\x85.jpg",
        "images/a\x7f.jpg",
        "images/\ud800.jpg",
        "images/" + "k" * 1018,
        "images/" + "ü" * 509,
    ],
)
def test_any_other_key_is_refused_before_s3_is_asked(key: str) -> None:
    with ScriptedS3(reply(b"picture")) as s3:
        with pytest.raises(S3KeyError) as caught:
            ImageStore(s3.client, "pictures", "images/", 10).read(key, time.monotonic() + 3)
        assert s3.requests == []
    assert (caught.value.status, caught.value.code) == (400, "invalid_s3_key")
    assert "sesame" not in str(caught.value)
    assert "pictures" not in caught.value.public


def test_without_a_bucket_there_is_no_s3key() -> None:
    with pytest.raises(S3KeyError) as caught:
        read("images/a.jpg", reply(b"picture"), bucket="")
    assert caught.value.public == "This service reads no pictures by s3key."


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (error("404 Not Found", "NoSuchKey"), S3ObjectNotFoundError),
        (error("403 Forbidden", "AccessDenied"), S3ObjectNotFoundError),
        (error("403 Forbidden", "InvalidObjectState"), S3ObjectNotReadableError),
        (error("400 Bad Request", "KMS.DisabledException"), S3ObjectNotReadableError),
        (error("404 Not Found", "NoSuchBucket"), StorageUnavailableError),
        (reply(b"x" * 11), ImageTooLargeError),
    ],
)
def test_each_refusal_of_s3_has_its_error(behaviour: Behaviour, expected: type[Exception]) -> None:
    with pytest.raises(expected) as caught:
        read("images/a.jpg", behaviour)
    assert type(caught.value) is expected


def test_a_denied_key_looks_like_a_missing_one() -> None:
    told = set()
    for behaviour in (error("404 Not Found", "NoSuchKey"), error("403 Forbidden", "AccessDenied")):
        with pytest.raises(S3ObjectNotFoundError) as caught:
            read("images/a.jpg", behaviour)
        told.add((caught.value.status, caught.value.code, caught.value.public))
    assert len(told) == 1


@pytest.mark.parametrize("header", ["Content-Encoding: gzip", "Content-Type: image/jpeg"])
def test_an_object_that_was_stored_packed_is_unpacked(header: str) -> None:
    assert read("images/a.jpg", reply(gzip.compress(b"picture"), header), most=100) == (b"picture", 1)


def test_an_object_that_says_packed_and_is_not_is_taken_as_it_is() -> None:
    assert read("images/a.jpg", reply(b"picture", "Content-Encoding: gzip")) == (b"picture", 1)


@pytest.mark.parametrize(
    ("packed", "error_class"),
    [
        (gzip.compress(bytes(100)), None),
        (gzip.compress(bytes(101)), ImageTooLargeError),
        (gzip.compress(b"picture")[:-1], ImageError),
        (b"\x1f\x8b broken", ImageError),
    ],
)
def test_a_packed_object_has_the_limits_of_a_plain_one(packed: bytes, error_class: type[ImageError] | None) -> None:
    if error_class is None:
        assert read("images/a.jpg", reply(packed), most=100)[0] == bytes(100)
        return
    with pytest.raises(error_class):
        read("images/a.jpg", reply(packed), most=100)
