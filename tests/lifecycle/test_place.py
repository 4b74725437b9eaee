"""The client that verbs write with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lifecycle.place import find_place

if TYPE_CHECKING:
    from tests.conftest import Bucket

KEY = "arn:aws:kms:us-east-1:123456789012:key/0a1b"


@pytest.mark.parametrize(
    ("asked", "encryption", "key"),
    [("", None, None), ("aws:kms:dsse", "aws:kms:dsse", None), (KEY, "aws:kms", KEY)],
)
def test_what_verbs_write_asks_for_the_encryption_that_the_functions_ask_for(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, asked: str, encryption: str | None, key: str | None
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "DEFAULT_REGION"):
        monkeypatch.setenv(f"AWS_{name}", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.endpoint_url)
    place = find_place(f"s3://{bucket.name}/models/dev", {"S3_ENCRYPTION": asked})
    place.client.put_object(Bucket=bucket.name, Key="k", Body=b"data")
    place.client.copy_object(Bucket=bucket.name, Key="copy", CopySource={"Bucket": bucket.name, "Key": "k"})
    for name in ("k", "copy"):
        head = place.client.head_object(Bucket=bucket.name, Key=name)
        assert (head.get("ServerSideEncryption"), head.get("SSEKMSKeyId")) == (encryption, key)
