"""Credentials of each source: found where botocore finds them, kept until they are due, renewed in time."""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import botocore.session
import pytest

from classifier.s3.credentials import KeptCredentials
from classifier.s3.sigv4 import Credentials
from tests.support.answering import Answering

if TYPE_CHECKING:
    from pathlib import Path

    from local.web import RequestHandler


class ContainerEndpoint(Answering):
    """ECS's or EKS's credentials endpoint. Each answer has another key; `status` 500 is a failure."""

    def __init__(self, valid_s: float = 3600) -> None:
        super().__init__()
        self.url += "/v1/credentials?id=1"
        self.valid_s, self.status = valid_s, 200
        self.asked: list[tuple[str, str | None]] = []

    def answer(self, asked: RequestHandler) -> None:
        self.asked.append((asked.path, asked.headers.get("Authorization")))
        expires = datetime.fromtimestamp(time.time() + self.valid_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {"AccessKeyId": f"AKID{len(self.asked)}", "SecretAccessKey": "s", "Token": "t"}
        document = {**keys, "Expiration": expires} if self.status == 200 else {"code": "x"}
        asked.send(self.status, [], json.dumps(document).encode())


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def botos() -> Credentials:
    found = botocore.session.get_session().get_credentials()
    assert found is not None
    keys = found.get_frozen_credentials()
    return Credentials(keys.access_key, keys.secret_key, keys.token)


def test_lambdas_own_credentials_are_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = KeptCredentials()
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "s", "SESSION_TOKEN": "t"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    assert provider() == Credentials("a", "s", "t") == botos()
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    assert provider() == Credentials("a", "s", None)
    assert provider.renew(provider()) is False


def test_a_containers_credentials_are_asked_for_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("of EKS\n")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
    monkeypatch.setitem(sys.modules, "botocore", None)  # a container need not have it
    with ContainerEndpoint() as endpoint:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url)
        provider = KeptCredentials()
        found = {provider() for _ in range(10)}
        assert found == {Credentials("AKID1", "s", "t")}
        assert endpoint.asked == [("/v1/credentials?id=1", "of EKS")]


def test_botocore_asks_the_endpoint_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of ECS")
    with ContainerEndpoint() as endpoint:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url)
        assert (botos().access_key, KeptCredentials()().access_key) == ("AKID1", "AKID2")
        assert endpoint.asked[0] == endpoint.asked[1] == ("/v1/credentials?id=1", "of ECS")


def test_what_is_about_to_expire_is_renewed_and_used_while_it_can_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with ContainerEndpoint(valid_s=300) as endpoint:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url)
        provider = KeptCredentials()
        assert [provider().access_key for _ in range(2)] == ["AKID1", "AKID2"]
        endpoint.status = 500
        assert [provider().access_key for _ in range(5)] == ["AKID2"] * 5
        assert len(endpoint.asked) == 3  # not asked again at once


def test_what_has_expired_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with ContainerEndpoint(valid_s=-1) as endpoint:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url)
        provider = KeptCredentials()
        provider()
        endpoint.status = 500
        with pytest.raises(PermissionError, match="the container's credentials can't be read: 500"):
            provider()


def test_credentials_that_s3_calls_expired_are_asked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    with ContainerEndpoint() as endpoint:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url)
        provider = KeptCredentials()
        assert provider.renew(provider())
        assert provider().access_key == "AKID2"


def test_many_threads_renew_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with ContainerEndpoint() as endpoint:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", endpoint.url)
        provider = KeptCredentials()
        threads = [threading.Thread(target=provider) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(endpoint.asked) == 1


@pytest.mark.parametrize("address", ["http://example.com/", "http://169.254.169.254/latest", "http://10.0.0.1/"])
def test_credentials_come_over_plain_http_from_the_container_only(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)
    with pytest.raises(PermissionError, match="without https only"):
        KeptCredentials()()


PROFILES = {
    "default": ("[default]\naws_access_key_id = A\naws_secret_access_key = S\n", "", None),
    "named, with a token": (
        "[other]\naws_access_key_id=A\naws_secret_access_key=S\naws_session_token=T\n",
        "",
        "other",
    ),
    "in the config file": ("", "[profile other]\naws_access_key_id=A\naws_secret_access_key=S%\n", "other"),
}


@pytest.mark.parametrize("case", PROFILES)
def test_a_profiles_keys_are_those_that_botocore_reads(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials, config, profile = PROFILES[case]
    (tmp_path / "credentials").write_text(credentials)
    (tmp_path / "config").write_text(config)
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    theirs = botos()
    monkeypatch.setitem(sys.modules, "botocore", None)
    assert KeptCredentials()() == theirs


def test_a_profile_without_keys_is_botocores(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"Version": 1, "AccessKeyId": "P", "SecretAccessKey": "S"}))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {keys}\n")
    assert KeptCredentials()() == Credentials("P", "S", None)


@pytest.mark.parametrize("without_botocore", [False, True])
def test_no_credentials_at_all_are_one_sentence(monkeypatch: pytest.MonkeyPatch, without_botocore: bool) -> None:
    if without_botocore:
        monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(PermissionError, match="no AWS credentials: set AWS_ACCESS_KEY_ID"):
        KeptCredentials()()
