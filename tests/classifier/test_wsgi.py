"""The application behind a WSGI server: replies are those of the HTTP API, from the same requests."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
import urllib3

from classifier.wsgi import application
from local.fronts import HttpApi, HttpRequest
from local.launch import PROJECT, credentials
from local.s3 import LocalS3
from tests.support.application import Running, picture, start  # noqa: F401 - a fixture

JSON = ("Content-Type", "application/json")
FORM, FORM_TYPE = urllib3.encode_multipart_formdata({"file": ("a.png", picture(), "image/png")})
LIMIT = 100_000


def asked(method: str, target: str, *headers: tuple[str, str], body: bytes = b"") -> HttpRequest:
    path, _, query = target.partition("?")
    length = [("Content-Length", str(len(body)))] if body else []
    return HttpRequest(method, path, query, (("Host", "localhost"), *headers, *length), body)


ENCODED = base64.b64encode(picture()).decode()
REQUESTS = {
    "page": asked("GET", "/"),
    "health": asked("GET", "/health"),
    "health with a slash": asked("GET", "/health/"),
    "model": asked("GET", "/model"),
    "description": asked("GET", "/openapi.json"),
    "upload": asked("POST", "/classify?top=1", ("Content-Type", "image/png"), body=picture()),
    "form": asked("POST", "/classify", ("Content-Type", FORM_TYPE), body=FORM),
    "JSON": asked("POST", "/classify", JSON, body=json.dumps({"image": ENCODED}).encode()),
    "text": asked("POST", "/classify", ("Content-Type", "image/png"), ("Accept", "text/plain"), body=picture()),
    "batch": asked("POST", "/classify", JSON, body=json.dumps({"images": [{"image": ENCODED}] * 2}).encode()),
    "link": asked("GET", "/classify?imagelink=http%3A%2F%2Fh%2Fa.png"),
    "key with everything in it": asked("GET", "/classify?s3key=images%2Fspace+plus%2B%C3%BC.jpg"),
    "nothing": asked("GET", "/classify"),
    "no picture": asked("POST", "/classify", ("Content-Type", "image/png"), body=b"hello"),
    "broken JSON": asked("POST", "/classify", JSON, body=b'{"image": "'),
    "TensorFlow Serving": asked("GET", "/v1/models/things"),
    "its metadata": asked("GET", "/v1/models/things/metadata"),
    "its predict": asked("POST", "/v1/models/things:predict", JSON, body=b'{"instances": []}'),
    "unknown model": asked("GET", "/v1/models/none"),
    "unknown path": asked("GET", "/n%C3%B6%20pe"),
    "method": asked("DELETE", "/classify"),
    "preflight": asked("OPTIONS", "/classify", ("Origin", "https://a.example")),
    "HEAD": asked("HEAD", "/health"),
}


def by_lambda(running: Running, request: HttpRequest) -> tuple[int, dict[str, str], bytes]:
    front = HttpApi()
    reply = front.reply(json.loads(json.dumps(running.ask(front.event(request)))))
    return reply.status, dict(reply.headers), reply.body


def by_wsgi(running: Running, request: HttpRequest) -> tuple[int, dict[str, str], bytes]:
    """What a server makes of the same request: PEP 3333 has text of Latin-1 where HTTP has bytes."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "wsgi.version": (1, 0),
        "wsgi.input": BytesIO(request.body),
    }
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    begun: list[Any] = []
    body = b"".join(application(running.app, LIMIT)(environ, lambda *given: begun.append(given)))  # type: ignore[arg-type]
    ((status, headers),) = begun
    return int(status.split()[0]), dict(headers), body


def settled(reply: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], str]:
    """A reply without what differs from one to the next, in time or by its request id."""
    status, headers, body = reply
    text = re.sub(r'"request_id":"[^"]*"', '"request_id":""', body.decode())
    text = re.sub(r'"timings_ms":\{[^}]*\}', '"timings_ms":{}', text)
    own = {name.lower(): value for name, value in headers.items() if name.lower() != "content-length"}
    if status == 204:
        own.pop("content-type", None)  # an HTTP API names one where there is nothing
    return status, own | ({"server-timing": ""} if "server-timing" in own else {}), text


@pytest.mark.parametrize("name", REQUESTS)
def test_a_reply_is_the_http_apis(name: str, start: Callable[..., Running]) -> None:  # noqa: F811
    running = start(fetch=lambda _link, _deadline: picture())
    by_lambda(running, asked("POST", "/classify", ("Content-Type", "image/png"), body=picture()))  # warm
    expected, found = by_lambda(running, REQUESTS[name]), by_wsgi(running, REQUESTS[name])
    assert settled(found) == settled(expected)
    length = found[1].get("content-length")
    assert length == (None if found[0] == 204 else str(len(found[2])))


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 415), (LIMIT + 1, 413)])
@pytest.mark.parametrize("stated", [True, False])
def test_a_body_that_is_too_large_is_refused(
    size: int,
    status: int,
    stated: bool,
    start: Callable[..., Running],  # noqa: F811
) -> None:
    body = b"x" * size
    environ: dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": "/classify", "wsgi.version": (1, 0)}
    environ |= {"wsgi.input": BytesIO(body), "wsgi.input_terminated": True, "CONTENT_TYPE": "image/png"}
    if stated:
        environ["CONTENT_LENGTH"] = str(size)
    begun: list[Any] = []
    (reply,) = application(start().app, LIMIT)(environ, lambda *given: begun.append(given))  # type: ignore[arg-type]
    assert begun[0][0].startswith(str(status)), reply


@pytest.fixture
def served(s3_server: LocalS3) -> Iterator[str]:
    """The address of a real gunicorn with one worker and an empty bucket."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environ = {
        "PATH": os.environ["PATH"],
        "MODEL_BUCKET": s3_server.create_bucket("wsgi-no-model"),
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        **credentials(),
    }
    command = [sys.executable, "-m", "gunicorn", "--bind", address, "--no-control-socket", "handler:wsgi()"]
    process = subprocess.Popen(command, cwd=PROJECT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                urllib3.request("GET", f"http://{address}/health", retries=False, timeout=30)
                break
            except urllib3.exceptions.HTTPError:
                assert time.monotonic() < end
                time.sleep(0.1)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.lambda_
def test_gunicorn_serves_it(served: str) -> None:
    page = urllib3.request("GET", f"{served}/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert urllib3.request("GET", f"{served}/health").json()["state"] == "cold"
    refused = urllib3.request("GET", f"{served}/classify?imagelink=http://127.0.0.1/")
    assert (refused.status, refused.json()["error"]["code"]) == (400, "url_host_not_allowed")
    for body in (picture(), (part for part in (picture()[:50], picture()[50:]))):  # with a length, and in chunks
        reply = urllib3.request("POST", f"{served}/classify", body=body, headers={"content-type": "image/png"})
        assert (reply.status, reply.json()["error"]["code"]) == (503, "model_unavailable")
        assert int(reply.headers["retry-after"]) > 0


def test_a_picture_is_the_http_apis_to_the_byte(start: Callable[..., Running]) -> None:  # noqa: F811
    running = start()
    kinds = ("Content-Type", "image/png"), ("Accept", "image/png")
    asked_for = asked("POST", "/classify?explain=true", *kinds, body=picture())
    (status, headers, body), expected = by_wsgi(running, asked_for), by_lambda(running, asked_for)
    assert (status, headers["content-type"], body) == (200, "image/png", expected[2])
    assert body.startswith(b"\x89PNG")
