"""Where credentials come from outside of Lambda: a profile's keys, the container's endpoint, or what botocore finds.

The order is the SDKs'. The endpoint is that of ECS, Fargate and EKS Pod Identity:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
Profiles with roles or SSO, web identity (EKS's IRSA) and instances are botocore's, where it is installed.
"""

from __future__ import annotations

import configparser
import json
import math
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from classifier.s3.http import Call, Pool
from classifier.s3.sigv4 import Credentials, Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RENEW_S = 600.0
"""Credentials are renewed when they are valid for less: botocore's mandatory refresh, too."""
PATIENCE_S = 2.0
MAX_REPLY_BYTES = 65_536
ECS = "http://169.254.170.2"
PLAIN_HOSTS = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost", "127.0.0.1", "::1")
"""Hosts that may be asked without TLS."""
NONE_FOUND = (
    "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with keys, or run "
    "where the container has a role; for roles of profiles, SSO, web identity and instances install botocore as well"
)


def source_of(environ: Mapping[str, str]) -> Callable[[], Kept]:
    """What gives credentials in this environment; PermissionError when nothing does."""
    if not environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        if keys := _profile_keys(environ):
            return lambda: Kept(keys, math.inf, math.inf)
        if address := _container_address(environ):
            return lambda: _container(address, environ)
    return _botocore()


def _profile_keys(environ: Mapping[str, str]) -> Credentials | None:
    """The keys that the profile has in the shared files; None when it has none, or a role or SSO instead."""
    name = environ.get("AWS_PROFILE", "default")
    found: dict[str, str] = {}
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or "/")
    for variable, file, section in (
        ("AWS_CONFIG_FILE", "config", name if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", name),
    ):
        parser = configparser.RawConfigParser(default_section="")
        try:
            parser.read(environ.get(variable) or home / ".aws" / file, encoding="utf-8")
        except configparser.Error as error:
            raise PermissionError(f"the AWS {file} file can't be read: {type(error).__name__}") from error
        if parser.has_section(section):
            found |= dict(parser.items(section))
    access, secret = found.get("aws_access_key_id"), found.get("aws_secret_access_key")
    if not access or not secret or "role_arn" in found:
        return None
    return Credentials(access, secret, found.get("aws_session_token"))


def _container_address(environ: Mapping[str, str]) -> str | None:
    if relative := environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        return ECS + relative
    address = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if address and (parts := urlsplit(address)).scheme != "https" and parts.hostname not in PLAIN_HOSTS:
        raise PermissionError(
            f"AWS_CONTAINER_CREDENTIALS_FULL_URI={address}: without https only {', '.join(PLAIN_HOSTS)}"
        )
    return address


def _container(address: str, environ: Mapping[str, str]) -> Kept:
    parts = urlsplit(address)
    token_file = environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    # Read anew each time: EKS replaces it.
    token = Path(token_file).read_text().strip() if token_file else environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN")
    call = Call(
        method="GET",
        target=parts.path + (f"?{parts.query}" if parts.query else ""),
        headers={"accept": "application/json"} | ({"authorization": token} if token else {}),
        payload=b"",
        deadline=time.monotonic() + PATIENCE_S,
        max_bytes=MAX_REPLY_BYTES,
    )
    reply = Pool(parts.scheme, parts.netloc).send(call)
    try:
        found: dict[str, Any] = json.loads(reply.body)
        keys = Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
        expires = datetime.fromisoformat(found["Expiration"]).timestamp()
    except (ValueError, LookupError, TypeError) as error:
        raise PermissionError(
            f"the container's credentials can't be read: {reply.status} from {parts.netloc}"
        ) from error
    return Kept(keys, expires, expires - RENEW_S)


def _botocore() -> Callable[[], Kept]:
    try:
        import botocore.session
    except ModuleNotFoundError as error:
        raise PermissionError(NONE_FOUND) from error

    found = botocore.session.get_session().get_credentials()
    if found is None:
        raise PermissionError(NONE_FOUND)

    def source() -> Kept:
        keys = found.get_frozen_credentials()  # renews by itself, and costs microseconds otherwise
        return Kept(Credentials(keys.access_key, keys.secret_key, keys.token), 0.0, 0.0)

    return source
