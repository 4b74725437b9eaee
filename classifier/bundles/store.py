"""Where the model lies: one prefix of one bucket, read as bundles and as compiled forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from classifier.bundles.compiled_reader import CompiledReader
from classifier.bundles.reader import BundleReader
from classifier.records import Record
from classifier.s3.credentials import environment_credentials
from classifier.s3.endpoint import Endpoint
from classifier.s3.storage import S3

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.settings import Settings


class ModelStore(Record):
    """One model's place in S3 and its readers."""

    s3: S3
    bucket: str
    prefix: str
    bundles: BundleReader
    compiled: CompiledReader

    @classmethod
    def at(cls, s3: S3, bucket: str, prefix: str, *, settle_s: float, max_bytes: int) -> Self:
        """The model under `prefix`; `settle_s` and `max_bytes` as in Settings."""
        bundles = BundleReader(s3, bucket, prefix, settle_s=settle_s, max_bytes=max_bytes)
        return cls(s3, bucket, prefix, bundles, CompiledReader(s3, bucket, prefix, max_bytes=max_bytes))

    def inside(self, folder: str, *, settle_s: float, max_bytes: int) -> Self:
        """The model in one folder under this prefix."""
        return self.at(self.s3, self.bucket, f"{self.prefix}{folder}/", settle_s=settle_s, max_bytes=max_bytes)

    @classmethod
    def from_settings(cls, settings: Settings, environ: Mapping[str, str]) -> Self:
        """The place that the settings name, at the endpoint that the environment names."""
        return cls.at(
            S3(Endpoint.from_env(environ), environment_credentials, settings.s3_encryption),
            settings.model_bucket,
            settings.model_prefix,
            settle_s=settings.swap_settle_s,
            max_bytes=settings.max_model_bytes,
        )
