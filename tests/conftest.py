"""Fixtures that several tests share: an S3 of our own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from classifier.s3_http import Endpoint
from classifier.sigv4 import Credentials
from classifier.storage import S3


@dataclass(frozen=True, slots=True)
class Bucket:
    """A fresh versioned bucket on moto's server: boto3's client to arrange things, ours to look at them."""

    name: str
    boto: Any
    s3: S3
    endpoint_url: str

    def put(self, key: str, data: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = self.boto.put_object(Bucket=self.name, Key=key, Body=data)
        return answer


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(moto_url: str) -> Bucket:
    boto = boto3.client(
        "s3", endpoint_url=moto_url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    name = f"test-{uuid.uuid4().hex[:12]}"
    boto.create_bucket(Bucket=name)
    boto.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return Bucket(name, boto, S3(Endpoint("us-east-1", moto_url), lambda: Credentials("test", "test")), moto_url)
