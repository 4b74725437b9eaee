"""HTTP to S3: replies read as http.client reads them, and what that lets through refused; requests as sent; TLS."""

from __future__ import annotations

from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from classifier.errors import StorageUnavailableError
from classifier.s3 import http as s3_http
from classifier.s3.endpoint import Endpoint
from classifier.s3.http import BrokenReplyError, Call, Pool, Reply
from classifier.s3.sigv4 import Credentials
from classifier.s3.storage import S3
from tests.support.certificates import Authority
from tests.support.origin import Origin, raw, reply
from tests.support.scripted_s3 import HEAD, MIB, ScriptedS3, closing, soon

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SIZED = HEAD + b"Content-Length: 4\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def asked(s3: ScriptedS3, method: str = "GET", payload: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
    call = Call(method=method, target="/k", headers=headers or {}, payload=payload, deadline=soon(), max_bytes=MIB)
    return Pool("http", s3.url.removeprefix("http://")).send(call)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("GET", SIZED + b"\r\ndata"),
        ("GET", SIZED + b"ETag:  \"a b\"\r\nX-Name: caf\xe9\r\n\r\ndata"),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 Partial Content\r\nContent-Length: 4\r\n\r\ndata"),
        ("GET", b"HTTP/1.0 404\r\nContent-Length: 4\r\n\r\ndata"),
        ("GET", CHUNKED + b"00A;x=y\r\n0123456789\r\n1\r\nz\r\n0\r\nTrailer: x\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\nContent-Length: 4\n\ndata"),
        ("HEAD", SIZED + b"\r\n"),
        ("HEAD", CHUNKED),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n"),
    ],
)  # fmt: skip
def test_a_reply_is_read_as_http_client_reads_it(method: str, answer: bytes) -> None:
    with ScriptedS3(raw(answer)) as s3:
        reference = HTTPConnection(s3.url.removeprefix("http://"), timeout=3)
        reference.request(method, "/k")
        response = reference.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        assert asked(s3, method) == Reply(response.status, fields, response.read())
        reference.close()


@pytest.mark.parametrize("size", [b"+4", b"-4", b"0x4", b"4_0", b"", b" "])
def test_a_size_that_is_no_number_is_refused(size: bytes) -> None:
    chunks = CHUNKED + size + b"\r\ndata\r\n0\r\n\r\n"
    lengths = HEAD + b"Content-Length: " + size + b"\r\n\r\ndata"
    for answer in (chunks, lengths):
        with ScriptedS3(closing(raw(answer))) as s3, pytest.raises(BrokenReplyError, match="no number"):
            asked(s3)


def test_a_connection_that_the_server_gives_up_is_not_kept() -> None:
    old = raw(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
    with ScriptedS3(reply(b"", "Connection: close"), old, reply(b""), reply(b"")) as s3:
        pool = Pool("http", s3.url.removeprefix("http://"))
        call = Call(method="GET", target="/k", headers={}, payload=b"", deadline=soon(), max_bytes=MIB)
        for connections in (1, 2, 3, 3):
            pool.send(call)
            assert s3.connections == connections


def test_a_request_says_how_long_its_body_is_and_no_header_adds_a_line() -> None:
    with ScriptedS3(reply(b"")) as s3:
        asked(s3, "PUT", headers={"if-none-match": "*"})
        asked(s3, "GET")
        with pytest.raises(ValueError, match="line's end"):
            asked(s3, headers={"if-match": '"x"\r\nx-amz-acl: public-read'})
        assert s3.requests == [
            "PUT /k HTTP/1.1\r\nif-none-match: *\r\naccept-encoding: identity\r\ncontent-length: 0",
            "GET /k HTTP/1.1\r\naccept-encoding: identity",
        ]


def test_tls_is_verified_against_the_bucket_s_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority.create(tmp_path)

    def read_from(host: str) -> bytes:
        with Origin({"/b/k": reply(b"picture")}, tls=authority.server(host)) as origin:
            client = S3(Endpoint("eu-central-1", origin.url("")), lambda: Credentials("AKID", "secret"))
            return client.get("b", "k", soon(), max_bytes=MIB)

    with pytest.raises(StorageUnavailableError, match="certificate verify failed"):
        read_from("127.0.0.1")  # nobody trusts it
    monkeypatch.setattr(s3_http, "_tls", authority.client)
    assert read_from("127.0.0.1") == b"picture"
    with pytest.raises(StorageUnavailableError, match="certificate verify failed"):
        read_from("s3.other.test")
