"""What tests of several modules share: S3 with a fresh bucket, and local Lambdas that stop with the test."""

from __future__ import annotations

import os
import random
import uuid
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
import hypothesis
import pytest

from classifier.s3.endpoint import Endpoint
from classifier.s3.sigv4 import Credentials
from classifier.s3.storage import S3
from lifecycle.place import Place
from local.cloud import Config, LocalLambda
from local.s3 import LocalS3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLACE_PREFIX = "models/dev/"

LONGEST_NAME = 40
LONGEST_FILES = ("test_swap.py", "test_deploy_check.py")
"""Of some four minutes each, much of them waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin the longest files in the middle of a run: at its end one process ran the last of them, and no other did
    anything. Not at its beginning: what forks is tried before TensorFlow's threads are there."""

    def rank(item: pytest.Item) -> int:
        early = item.nodeid.startswith("tests/classifier/")
        return 0 if early else 1 if item.path.name in LONGEST_FILES else 2

    items.sort(key=rank)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Leave out of names what differs from process to process, as each must find tests of the same names.

    Long bytes may be gzip's, which hold the second they were made in; a form's boundary is drawn by chance.
    """
    if isinstance(val, str) and "boundary=" in val:
        return val.partition("boundary=")[0] + "boundary"
    return f"{argname} of {len(val)} bytes" if isinstance(val, bytes) and len(val) > LONGEST_NAME else None


# npm says here where its caller stood, and tests stand elsewhere: paths would be taken from the project's folder.
os.environ.pop("INIT_CWD", None)


# Each session of boto3's would read its description of S3 anew: 100 of the 136 ms of CPU that a client costs, and each
# verb of `scripts/models` that a test calls makes a session.
botocore.session.create_loader = cache(botocore.session.create_loader)


@pytest.fixture(autouse=True)
def the_same_draw_each_time() -> None:
    """Weights that a test leaves to chance are the same in every run: Keras draws its seeds from Python's generator."""
    random.seed(1)


# The same examples each time: a failure is a change's doing, not chance's.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A fresh versioned bucket: boto3's client to arrange things, ours to look at them.

    `server` records every request and can fail on demand.
    """

    name: str
    boto: Any
    s3: S3
    endpoint_url: str
    server: LocalS3

    def put(self, key: str, data: bytes) -> dict[str, Any]:
        """Store an object."""
        answer: dict[str, Any] = self.boto.put_object(Bucket=self.name, Key=key, Body=data)
        return answer


@pytest.fixture(scope="session")
def s3_server() -> Iterator[LocalS3]:
    """One S3 for the whole run."""
    server = LocalS3()
    server.start()
    yield server
    server.stop()


def aws_environment(endpoint: str) -> dict[str, str]:
    """What boto3 takes from the environment to talk to a test's S3."""
    key = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return {"AWS_ENDPOINT_URL": endpoint, **key, "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def bucket(s3_server: LocalS3) -> Iterator[Bucket]:
    """A fresh bucket; `bucket.server.failing` is reset afterwards."""
    name = s3_server.create_bucket(f"test-{uuid.uuid4().hex[:12]}")
    s3 = S3(Endpoint("us-east-1", s3_server.endpoint), lambda: Credentials("test", "test"))
    s3_server.requests.clear()
    yield Bucket(name, s3_server.client(), s3, s3_server.endpoint, s3_server)
    s3_server.failing = None


@pytest.fixture
def place(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty place, which the environment names too; swaps by hand count at once there."""
    own = {"MODEL_BUCKET": bucket.name, "MODEL_PREFIX": PLACE_PREFIX, "SWAP_SETTLE_SECONDS": "0"}
    for name, value in (aws_environment(bucket.endpoint_url) | own).items():
        monkeypatch.setenv(name, value)
    return Place(bucket.name, PLACE_PREFIX, bucket.boto)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One trained model in every form that can be published, and things that can't (tests/support/model_sources.py)."""
    from tests.support.model_sources import write_sources

    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture
def start_cloud(s3_server: LocalS3) -> Iterator[Callable[[Config], LocalLambda]]:
    """A function that starts a local Lambda on the run's S3; it stops with the test."""
    started: list[LocalLambda] = []

    def start(config: Config) -> LocalLambda:
        cloud = LocalLambda(config, s3_server)
        started.append(cloud)
        cloud.start()
        return cloud

    yield start
    for cloud in started:
        cloud.stop()
