"""Our client and botocore, the reference, before an S3 that refuses what S3 documents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from classifier.errors import StorageUnavailableError
from classifier.s3.credentials import KeptCredentials
from classifier.s3.sigv4 import Credentials
from classifier.s3.storage import S3, ObjectMissingError
from tests.support.documented_s3 import Bucket, DocumentedS3, Redirected
from tests.support.scripted_s3 import MIB, soon
from tests.support.scripted_s3 import short_pauses as short_pauses

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d"
PARTS = {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": KEY_ARN}


def ours(s3: DocumentedS3, region: str = "eu-west-1", encryption: str = "") -> S3:
    endpoint = Redirected(region)
    endpoint.at = s3.address
    return S3(endpoint, lambda: Credentials("AKID", "secret", "token"), encryption)


def botos(s3: DocumentedS3, region: str = "eu-west-1") -> Any:
    return boto3.client(
        "s3",
        region_name=region,
        aws_access_key_id="AKID",
        aws_secret_access_key="secret",
        aws_session_token="token",
        use_ssl=False,
        config=Config(proxies={"http": f"http://{s3.address}"}, retries={"mode": "standard"}),
    )


def put(s3: DocumentedS3, client: str, region: str = "eu-west-1") -> None:
    if client == "ours":
        ours(s3, region).put("models", "a/key", b"data", soon(), content_type="text/plain")
    else:
        botos(s3, region).put_object(Bucket="models", Key="a/key", Body=b"data", ContentType="text/plain")


def get(s3: DocumentedS3, client: str, region: str) -> bytes:
    if client == "ours":
        return ours(s3, region).get("models", "a/key", soon(), max_bytes=MIB)
    body: bytes = botos(s3, region).get_object(Bucket="models", Key="a/key")["Body"].read()
    return body


both = pytest.mark.parametrize("client", ["ours", "botocore"])


@both
def test_a_bucket_with_object_lock_takes_what_is_written(client: str) -> None:
    with DocumentedS3(models=Bucket("eu-west-1", object_lock=True)) as s3:
        put(s3, client)
        assert s3.buckets["models"].objects == {"a/key": b"data"}


@both
def test_a_request_that_timed_out_is_made_again(client: str) -> None:
    with DocumentedS3(models=Bucket("eu-west-1")) as s3:
        s3.slow = 1
        put(s3, client)
        assert [method for method, *_ in s3.requests] == ["PUT", "PUT"]


REGIONS: dict[str, Callable[[], Bucket]] = {
    "another region, named in a header": lambda: Bucket("us-west-2"),
    "another region, named by HEAD only": lambda: Bucket("us-west-2", told=False),
    "a region that is opted in to": lambda: Bucket("me-south-1", opt_in_region=True),
    "a region that is opted in to, named by HEAD only": lambda: Bucket("me-south-1", opt_in_region=True, told=False),
}


@both
@pytest.mark.parametrize("case", REGIONS)
def test_a_bucket_in_another_region_is_found(client: str, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = REGIONS[case]()
    bucket.objects["a/key"] = b"data"
    with DocumentedS3(models=bucket) as s3:
        assert get(s3, client, "eu-west-1") == b"data"
        host = s3.requests[-1][1]
    assert host == f"models.s3.{bucket.region}.amazonaws.com"
    if client == "ours":
        line = json.loads(capsys.readouterr().out)
        said = {"bucket": "models", "region": bucket.region, "asked": "eu-west-1"}
        assert (line["level"], line["message"]) == ("warning", "bucket in another region")
        assert said.items() <= line.items()


def test_a_bucket_that_has_just_been_made_elsewhere_is_found_too() -> None:
    """More than botocore does: where DNS does not know the bucket yet, S3 answers 307, and not always with a region."""
    bucket = Bucket("us-west-2", fresh=True, told=False, objects={"a/key": b"data"})
    with DocumentedS3(models=bucket) as s3:
        assert get(s3, "ours", "eu-west-1") == b"data"


def test_what_was_learned_of_a_bucket_is_kept() -> None:
    with DocumentedS3(models=Bucket("us-west-2", objects={"a/key": b"data"})) as s3:
        client = ours(s3)
        for _ in range(3):
            client.get("models", "a/key", soon(), max_bytes=MIB)
        assert len(s3.requests) == 4


def test_a_policy_that_demands_encryption_is_met_by_the_setting_and_named_in_the_error_without_it() -> None:
    with DocumentedS3(models=Bucket("eu-west-1", encryption=PARTS)) as s3:
        with pytest.raises(ObjectMissingError, match=r"not authorized to perform: s3:PutObject .* explicit deny"):
            put(s3, "ours")
        with pytest.raises(ClientError, match="explicit deny"):
            put(s3, "botocore")
        ours(s3, encryption=KEY_ARN).put("models", "k", b"x", soon(), content_type="text/plain")
        botos(s3).put_object(
            Bucket="models", Key="theirs", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=KEY_ARN
        )
        sent = [{name: headers.get(name) for name in PARTS} for *_, headers in s3.requests[-2:]]
        assert sent == [PARTS, PARTS]


@pytest.mark.parametrize("asked", ["AES256", "aws:kms", "aws:kms:dsse"])
def test_encryption_without_a_key_of_ones_own(asked: str) -> None:
    with DocumentedS3(models=Bucket("eu-west-1", encryption={"x-amz-server-side-encryption": asked})) as s3:
        ours(s3, encryption=asked).put("models", "k", b"x", soon(), content_type="text/plain")
        assert "x-amz-server-side-encryption-aws-kms-key-id" not in s3.requests[-1][2]


def test_a_token_that_expired_before_its_time_is_replaced_once() -> None:
    class Renewed(KeptCredentials):
        tokens = iter(["old", "new"])
        token = "old"

        def __call__(self) -> Credentials:
            return Credentials("AKID", "secret", self.token)

        def renew(self, refused: Credentials) -> bool:
            self.token = "new"
            return refused.token == "old"

    with DocumentedS3(models=Bucket("eu-west-1", objects={"k": b"x"})) as s3:
        s3.expired = {"old"}
        endpoint = Redirected("eu-west-1")
        endpoint.at = s3.address
        assert S3(endpoint, Renewed({})).get("models", "k", soon(), max_bytes=MIB) == b"x"
        s3.expired.add("new")
        with pytest.raises(StorageUnavailableError, match=r"400 ExpiredToken: The provided token has expired\."):
            S3(endpoint, Renewed({})).get("models", "k", soon(), max_bytes=MIB)
        s3.expired.add("token")
        with pytest.raises(StorageUnavailableError, match="ExpiredToken"):
            get(s3, "ours", "eu-west-1")
