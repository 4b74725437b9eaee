"""One model's place in S3, as the verbs write to it (boto3) and as the function would read it (ModelStore)."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.bundles.store import ModelStore
from classifier.s3.credentials import environment_credentials
from classifier.s3.endpoint import Endpoint
from classifier.s3.storage import S3, encryption_headers
from classifier.settings import Settings
from lifecycle.errors import PlaceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")
_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NOT_THERE = ("NoSuchKey", "404", "NoSuchVersion")


@dataclass(frozen=True, slots=True)
class Place:
    """A prefix of a bucket that holds one model; `prefix` is empty or ends in a slash."""

    bucket: str
    prefix: str
    client: Any

    @property
    def url(self) -> str:
        """As the command line takes it."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def store(self, environ: Mapping[str, str] = os.environ) -> ModelStore:
        """The readers that the deployed function uses, with its limits where the environment sets them."""
        settings = Settings.from_env({**environ, "MODEL_BUCKET": self.bucket, "MODEL_PREFIX": self.prefix})
        region = self.client.meta.region_name
        endpoint = Endpoint.from_env(environ, region if region != "aws-global" else None)
        s3 = S3(endpoint, environment_credentials, settings.s3_encryption)
        return ModelStore.at(
            s3, self.bucket, self.prefix, settle_s=settings.swap_settle_s, max_bytes=settings.max_model_bytes
        )


def find_place(text: str | None, environ: Mapping[str, str] = os.environ) -> Place:
    """The place that `text` names: s3://bucket/prefix, a stage (models/<stage>/ in MODEL_BUCKET), or nothing.

    Nothing means MODEL_BUCKET and MODEL_PREFIX, as the function itself has them. UsageError where that says no place.
    """
    bucket, prefix = _named(text, environ)
    import boto3

    client = boto3.session.Session().client("s3")
    _encrypt(client, environ.get("S3_ENCRYPTION", ""))
    return Place(bucket, prefix, client)


def _encrypt(client: Any, asked: str) -> None:  # noqa: ANN401 - boto3's
    """Let everything that the client writes ask for the encryption that the functions ask for."""
    names = {
        "x-amz-server-side-encryption": "ServerSideEncryption",
        "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
    }
    wanted = {names[header]: value for header, value in encryption_headers(asked).items()}

    def add(params: dict[str, Any], **_: object) -> dict[str, Any]:
        return {**wanted, **params}

    for operation in ("PutObject", "CopyObject", "CreateMultipartUpload") if wanted else ():
        client.meta.events.register(f"provide-client-params.s3.{operation}", add)


def _named(text: str | None, environ: Mapping[str, str]) -> tuple[str, str]:
    if text and (found := _URL.fullmatch(text)):
        return found["bucket"], _as_prefix(found["prefix"] or "")
    bucket = environ.get("MODEL_BUCKET", "")
    if text and not _STAGE.fullmatch(text):
        raise UsageError(f"{text!r} is no place: give s3://bucket/prefix, or a stage such as dev")
    if not bucket:
        raise UsageError(f"{text or 'The place'} is in the bucket that MODEL_BUCKET names, and that isn't set")
    return bucket, f"models/{text}/" if text else _as_prefix(environ.get("MODEL_PREFIX", "models/dev"))


def _as_prefix(text: str) -> str:
    return text.strip("/") + "/" if text.strip("/") else ""


@contextmanager
def s3_trouble(what: str) -> Iterator[None]:
    """Turn what boto3 raises, and what reading a spoilt reply raises, into PlaceError: a verb ends with a sentence."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise PlaceError(f"{what}: {error_code(error)}: {error.response['Error'].get('Message', '')}") from error
    except BotoCoreError as error:
        raise PlaceError(f"{what}: {error}") from error
    except (ResponseParserError, ValueError, LookupError) as error:
        raise PlaceError(f"{what}: the reply can't be understood: {error}") from error


def error_code(error: Any) -> str:  # noqa: ANN401 - botocore's ClientError
    """S3's code for what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))
