"""Where requests go, compared with botocore's endpoint rules for every region that it knows."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader

from classifier.s3.endpoint import REGION, Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKETS = ["plain-bucket", "with.dots", "Upper-Case", "under_score", "x" * 63, "x" * 64, "xn--sta-s3alias", "a1"]


@pytest.fixture(scope="module")
def partitions() -> dict[str, Any]:
    found: dict[str, Any] = Loader().load_data("partitions")
    return found


@pytest.fixture(scope="module")
def rules(partitions: dict[str, Any]) -> EndpointProvider:
    return EndpointProvider(Loader().load_service_model("s3", "endpoint-rule-set-1"), partitions)


def _regions(partitions: dict[str, Any]) -> Iterator[str]:
    for partition in partitions["partitions"]:
        yield from (region for region in partition["regions"] if not region.endswith("-global"))


def _resolved(rules: EndpointProvider, region: str, bucket: str, dual_stack: bool, fips: bool) -> str:
    given = {"Region": region, "Bucket": bucket, "UseFIPS": fips, "UseDualStack": dual_stack}
    url: str = rules.resolve_endpoint(**given, Accelerate=False, ForcePathStyle=False).url
    return url


@pytest.mark.parametrize("dual_stack", [False, True])
@pytest.mark.parametrize("fips", [False, True])
def test_every_region_has_the_address_that_botocore_gives(
    rules: EndpointProvider, partitions: dict[str, Any], dual_stack: bool, fips: bool
) -> None:
    differ = {}
    regions = list(_regions(partitions))
    assert len(partitions["partitions"]) >= 8
    assert len(regions) >= 45
    for region, bucket in product(regions, BUCKETS):
        if fips and region.startswith("cn-"):
            with pytest.raises(ValueError, match="no FIPS endpoints in cn-"):
                Endpoint(region, fips=fips)
            with pytest.raises(BotoCoreError, match="Partition does not support FIPS"):
                _resolved(rules, region, bucket, dual_stack, fips)
            continue
        theirs = urlsplit(_resolved(rules, region, bucket, dual_stack, fips))
        ours = Endpoint(region, dual_stack=dual_stack, fips=fips).address(bucket, "k")
        if ours != (theirs.netloc, f"{theirs.path}/k"):
            differ[region, bucket] = ours, theirs.geturl()
    assert differ == {}


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"AWS_REGION": "eu-central-1"}, ("bucket.s3.eu-central-1.amazonaws.com", "/k")),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, ("bucket.s3.eu-west-1.amazonaws.com", "/k")),
        ({}, ("bucket.s3.us-east-1.amazonaws.com", "/k")),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, ("bucket.s3.dualstack.us-east-1.amazonaws.com", "/k")),
        (
            {"AWS_USE_FIPS_ENDPOINT": "True", "AWS_REGION": "us-gov-west-1"},
            ("bucket.s3-fips.us-gov-west-1.amazonaws.com", "/k"),
        ),
        ({"AWS_USE_FIPS_ENDPOINT": "false"}, ("bucket.s3.us-east-1.amazonaws.com", "/k")),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000/"}, ("127.0.0.1:9000", "/bucket/k")),
        ({"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "https://h/base"}, ("h", "/base/bucket/k")),
        (
            {"AWS_ENDPOINT_URL": "http://a", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            ("bucket.s3.us-east-1.amazonaws.com", "/k"),
        ),
    ],
)
def test_the_environment_says_what_it_says_to_the_sdks(environ: dict[str, str], address: tuple[str, str]) -> None:
    endpoint = Endpoint.from_env(environ)
    assert endpoint.address("bucket", "k") == address
    assert endpoint.pool(address[0]).scheme == ("http" if "127.0.0.1" in address[0] else "https")


def test_a_region_is_learned_once_and_only_if_it_is_one(partitions: dict[str, Any]) -> None:
    assert [region for region in _regions(partitions) if not REGION.fullmatch(region)] == []
    endpoint = Endpoint("us-east-1")
    assert [endpoint.learn("bucket", one) for one in ("", "us-east-1", "evil.example/", "eu-west-1", "eu-west-1")] == [
        *[False] * 3,
        True,
        False,
    ]
    assert (endpoint.region_of("bucket"), endpoint.region_of("other")) == ("eu-west-1", "us-east-1")
