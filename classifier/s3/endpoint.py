"""Where a bucket's requests go: AWS's own hosts by partition, region and kind, or one address for everything.

The hosts are those of botocore's endpoint rules, which a test asks for every region that botocore knows. Access points
by ARN are left out: their alias is a bucket name as any other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from classifier.s3.http import Pool

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMON_DOMAIN = "amazonaws.com"
DOMAINS = {
    "cn": "amazonaws.com.cn",
    "eusc": "amazonaws.eu",
    "us-iso": "c2s.ic.gov",
    "us-isob": "sc2s.sgov.gov",
    "eu-isoe": "cloud.adc-e.uk",
    "us-isof": "csp.hci.ic.gov",
}
"""Domains of partitions that have their own, by how their regions begin; `aws` and `aws-us-gov` share the common."""
REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d+")
_HOST_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
"""A bucket that may stand before the host: its certificate's `*` covers one label."""


class Endpoint:
    """AWS's own hosts for `region`, dual-stack (IPv6 too) or FIPS, or one address (`url`: tests, MinIO, a VPC's)."""

    def __init__(self, region: str, url: str | None = None, *, dual_stack: bool = False, fips: bool = False) -> None:
        if fips and not url and region.startswith("cn-"):
            raise ValueError(f"AWS_USE_FIPS_ENDPOINT: there are no FIPS endpoints in {region}")
        self.region, self.url = region, url
        self.service = f"s3{'-fips' if fips else ''}{'.dualstack' if dual_stack else ''}"
        self.pools: dict[str, Pool] = {}
        self.elsewhere: dict[str, str] = {}
        """Regions of buckets that turned out to be in another one."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str], region: str | None = None) -> Endpoint:
        """The region, unless one is given, and the kind of endpoint that the AWS SDKs read from the environment."""

        def switched(name: str) -> bool:
            return environ.get(name, "").lower() == "true"

        region = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        url = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or None
        return cls(
            region,
            None if switched("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") else url,
            dual_stack=switched("AWS_USE_DUALSTACK_ENDPOINT"),
            fips=switched("AWS_USE_FIPS_ENDPOINT"),
        )

    def region_of(self, bucket: str) -> str:
        """The region that the bucket's requests go to and are signed for."""
        return self.elsewhere.get(bucket, self.region)

    def learn(self, bucket: str, region: str) -> bool:
        """Send the bucket's requests to `region` from now on; False when that is none, or the one that was tried."""
        if region == self.region_of(bucket) or not REGION.fullmatch(region):
            return False
        self.elsewhere[bucket] = region
        return True

    def address(self, bucket: str, key: str) -> tuple[str, str]:
        """(host, path) of an object: virtual-hosted, or path-style at an own address and for names that no host has."""
        if self.url:
            parts = urlsplit(self.url)
            return parts.netloc, f"{parts.path.rstrip('/')}/{bucket}/{key}"
        region = self.region_of(bucket)
        host = f"{self.service}.{region}.{domain_of(region)}"
        if _HOST_LABEL.fullmatch(bucket):
            return f"{bucket}.{host}", f"/{key}"
        return host, f"/{bucket}/{key}"

    def pool(self, host: str) -> Pool:
        """The kept connections to `host`."""
        scheme = urlsplit(self.url).scheme if self.url else "https"
        return self.pools.setdefault(host, Pool(scheme, host))


def domain_of(region: str) -> str:
    """The domain of the region's partition."""
    first, _, rest = region.partition("-")
    return DOMAINS.get(first) or DOMAINS.get(f"{first}-{rest.partition('-')[0]}") or COMMON_DOMAIN
