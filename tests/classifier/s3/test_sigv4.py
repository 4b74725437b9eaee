"""Our signatures against botocore's."""

from __future__ import annotations

import calendar
import time
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from classifier.s3.sigv4 import Credentials, canonical_path, canonical_query, signed_headers

KEYS = [
    "images/a.jpg",
    "images/space plus+file.jpg",
    "images/ünïcode 鞋😀.jpg",
    "images/100%25.jpg",
    "images//double/../dot/./.jpg",
    "images/~-_.!*'();:@&=$,?#[]{}|^`\"<>\\.jpg",
    "",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("method", "query", "headers", "payload", "token"),
    [
        ("GET", {}, {}, b"", None),
        ("GET", {"versionId": "abc/+= ~"}, {"if-match": '"etag"'}, b"", "IQoJb3J/+token=="),
        ("GET", {"list-type": "2", "prefix": "models/ü +/", "delimiter": "/", "encoding-type": "url"}, {}, b"", None),
        ("GET", {"versions": "", "key-marker": "a b+c", "Zeta": "1", "a": "2"}, {}, b"", "t"),
        ("PUT", {}, {"content-type": "application/json;  charset=utf-8", "if-none-match": "*"}, b'{"a": 1}', "t"),
    ],
)
def test_the_signature_is_botocores(
    key: str, method: str, query: dict[str, str], headers: dict[str, str], payload: bytes, token: str | None
) -> None:
    path, text = canonical_path(f"/bucket/{key}"), canonical_query(query)
    url = f"https://s3.eu-central-1.amazonaws.com{path}" + (f"?{text}" if text else "")
    theirs = AWSRequest(method=method, url=url, headers=headers, data=payload)
    S3SigV4Auth(BotoCredentials("AKIDEXAMPLE", "secret/+key", token), "s3", "eu-central-1").add_auth(theirs)
    at = calendar.timegm(time.strptime(theirs.context["timestamp"], "%Y%m%dT%H%M%SZ"))

    ours = signed_headers(
        method,
        path,
        text,
        {"host": urlsplit(url).netloc, **headers},
        payload,
        Credentials("AKIDEXAMPLE", "secret/+key", token),
        "eu-central-1",
        at,
    )
    assert ours["authorization"] == theirs.headers["Authorization"]
    assert ours.get("x-amz-security-token") == token


def test_secrets_are_in_no_repr() -> None:
    assert "hidden" not in repr(Credentials("AKID", "hidden", "hidden"))
