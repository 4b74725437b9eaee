"""What S3's refusals, redirects, oversized bodies and odd listings mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from classifier.errors import StorageUnavailableError
from classifier.s3 import storage
from classifier.s3.storage import ObjectChangedError, ObjectMissingError, ObjectTooLargeError, ObjectUnreadableError
from tests.support.origin import raw, reply, then_hang
from tests.support.scripted_s3 import HEAD, MIB, ScriptedS3, closing, error, soon
from tests.support.scripted_s3 import short_pauses as short_pauses

if TYPE_CHECKING:
    from tests.support.origin import Behaviour


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (error("404 Not Found", "NoSuchKey"), ObjectMissingError),
        (error("404 Not Found", "NoSuchVersion"), ObjectMissingError),
        (error("404 Not Found", "NoSuchBucket"), StorageUnavailableError),
        (error("403 Forbidden", "AccessDenied"), ObjectMissingError),
        (reply(b"", status="403 Forbidden"), ObjectMissingError),
        (
            error(
                "403 Forbidden",
                "AccessDenied",
                message="User: arn:r is not authorized to perform: s3:GetObject on resource: images/kms:Decrypt.jpg",
            ),
            ObjectMissingError,
        ),
        (
            error(
                "403 Forbidden",
                "AccessDenied",
                message="User: arn:r is not authorized to perform: kms:Decrypt on the resource of this ciphertext",
            ),
            ObjectUnreadableError,
        ),
        (error("403 Forbidden", "InvalidObjectState"), ObjectUnreadableError),
        (error("400 Bad Request", "KMS.DisabledException"), ObjectUnreadableError),
        (error("400 Bad Request", "KMS.KMSInvalidStateException"), ObjectUnreadableError),
        (error("403 Forbidden", "ExpiredToken"), StorageUnavailableError),
        (error("403 Forbidden", "InvalidAccessKeyId"), StorageUnavailableError),
        (error("403 Forbidden", "SignatureDoesNotMatch"), StorageUnavailableError),
        (error("403 Forbidden", "RequestTimeTooSkewed"), StorageUnavailableError),
        (error("405 Method Not Allowed", "MethodNotAllowed", "x-amz-delete-marker: true"), ObjectMissingError),
        (error("405 Method Not Allowed", "MethodNotAllowed"), StorageUnavailableError),
        (error("412 Precondition Failed", "PreconditionFailed"), ObjectChangedError),
        (error("409 Conflict", "ConditionalRequestConflict"), ObjectChangedError),
        (error("400 Bad Request", "InvalidArgument"), StorageUnavailableError),
        (error("302 Found", "no code", "Location: http://127.0.0.1:1/"), StorageUnavailableError),
        (reply(b"<html>proxy</html>", status="407 Proxy"), StorageUnavailableError),
    ],
)
def test_each_refusal_has_its_meaning_and_is_not_repeated(behaviour: Behaviour, expected: type[Exception]) -> None:
    with ScriptedS3(behaviour) as s3:
        with pytest.raises(expected):
            s3.client.get("b", "k", soon(), max_bytes=MIB)
        assert len(s3.requests) == 1


@pytest.mark.parametrize(
    "large",
    [
        reply(b"x" * 11),
        then_hang(HEAD + b"Content-Length: 999999999999\r\n\r\n"),
        closing(raw(HEAD + b"\r\n" + b"x" * 11)),
        then_hang(HEAD + b"Transfer-Encoding: chunked\r\n\r\n6\r\nxxxxxx\r\n6\r\nxxxxxx\r\n"),
    ],
)
def test_a_body_over_the_limit_is_not_read_on_and_not_asked_for_again(large: Behaviour) -> None:
    with ScriptedS3(large) as s3:
        with pytest.raises(ObjectTooLargeError):
            s3.client.get("b", "k", soon(), max_bytes=10)
        assert len(s3.requests) == 1


def test_a_body_of_just_the_limit_is_read_and_errors_are_read_whatever_the_limit() -> None:
    with ScriptedS3(reply(b"x" * 10), error("404 Not Found", "NoSuchKey")) as s3:
        client = s3.client
        assert client.get("b", "k", soon(), max_bytes=10) == b"x" * 10
        with pytest.raises(ObjectMissingError):
            client.get("b", "k", soon(), max_bytes=10)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("301 Moved Permanently", "PermanentRedirect"),
        ("307 Temporary Redirect", "TemporaryRedirect"),
        ("400 Bad Request", "AuthorizationHeaderMalformed"),
    ],
)
def test_a_bucket_in_another_region_is_asked_there_and_remembered(status: str, code: str) -> None:
    there = error(status, code, "x-amz-bucket-region: us-west-2", "Location: http://169.254.169.254/")
    with ScriptedS3(there, reply(b"one"), reply(b"two")) as s3:
        client = s3.client
        assert client.get("b", "k", soon(), max_bytes=MIB) == b"one"
        assert client.get("b", "k", soon(), max_bytes=MIB) == b"two"
        scopes = [request.partition("Credential=AKID/")[2].split("/")[1] for request in s3.requests]
        assert scopes == ["eu-central-1", "us-west-2", "us-west-2"]


@pytest.mark.parametrize("region", ["eu-central-1", "evil.example/", "", "us-west-2:80"])
def test_a_redirect_that_teaches_nothing_is_not_followed(region: str) -> None:
    with ScriptedS3(error("301 Moved Permanently", "PermanentRedirect", f"x-amz-bucket-region: {region}")) as s3:
        with pytest.raises(StorageUnavailableError):
            s3.client.get("b", "k", soon(), max_bytes=MIB)
        assert [head.split()[0] for head in s3.requests] == (["GET"] if region else ["GET", "HEAD"])


@pytest.mark.parametrize(
    "listing",
    [
        b"",
        b"not xml",
        b"<html><body>It works!</body></html>",
        b"<Error><Code>InternalError</Code></Error>",
        b"<ListBucketResult><Contents><Key>k</Key>",
        b"<ListBucketResult><Contents><Key>k</Key><Size>big</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>k</Key><Size>1</Size><LastModified>now</LastModified></Contents></ListBucketResult>",
        b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
        + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 100) for i in range(8))
        + b"]><ListBucketResult><Prefix>&i;</Prefix></ListBucketResult>",
    ],
)
def test_a_listing_that_is_none_is_unavailable_and_never_an_empty_one(listing: bytes) -> None:
    with ScriptedS3(reply(listing)) as s3, pytest.raises(StorageUnavailableError):
        s3.client.list("b", "models/", soon())


def _page(key: str, *following: str) -> Behaviour:
    truncated = "true" if following else "false"
    entry = f"<Version><Key>{key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified></Version>"
    fields = f"<IsTruncated>{truncated}</IsTruncated><EncodingType>url</EncodingType>{''.join(following)}"
    return reply(f"<ListVersionsResult>{fields}{entry}</ListVersionsResult>".encode())


def test_markers_of_the_next_page_are_sent_as_they_mean() -> None:
    first = _page("a+b%2Bc", "<NextKeyMarker>a+b%2Bc</NextKeyMarker>", "<NextVersionIdMarker>v+1</NextVersionIdMarker>")
    with ScriptedS3(first, _page("d")) as s3:
        listing = s3.client.list_versions("b", "models/", soon())
        assert [info.key for info in listing.objects] == ["a b+c", "d"]
        assert "key-marker=a%20b%2Bc&" in s3.requests[1]
        assert "version-id-marker=v%2B1&" in s3.requests[1]


def test_a_listing_without_end_is_given_up() -> None:
    with ScriptedS3(_page("a", "<NextKeyMarker>a</NextKeyMarker>")) as s3:
        with pytest.raises(StorageUnavailableError, match="pages"):
            s3.client.list_versions("b", "models/", soon())
        assert len(s3.requests) == storage.MAX_PAGES


def test_no_error_carries_a_secret_or_a_query() -> None:
    with ScriptedS3(error("403 Forbidden", "SignatureDoesNotMatch")) as s3:
        with pytest.raises(StorageUnavailableError) as caught:
            s3.client.get("b", "images/a.jpg?X-Amz-Signature=sesame", soon(), max_bytes=MIB)
        text = str(caught.value)
        assert "images/a.jpg" in text
        assert not any(word in text for word in ("sesame", "secret", "token", "AKID"))
