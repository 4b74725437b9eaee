"""S3 on the loopback address: moto's server, with every request on record and failures on demand.

moto keeps its objects in this process, for every server at once: a server that is stopped and started again still has
them, and names of buckets must differ.
"""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from local.account import REGION
from local.launch import credentials
from local.s3_changes import S3Change, changes_of
from local.web import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from werkzeug.serving import BaseWSGIServer

_SIGNED = {"Authorization": f"AWS4-HMAC-SHA256 Credential=testing/20260101/{REGION}/s3/aws4_request"}
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@dataclass(frozen=True, slots=True)
class S3Request:
    """One request that S3 got; `path` is `/bucket/key`, still percent-encoded; `caller` is the signer's access key."""

    method: str
    path: str
    query: str
    time: float
    caller: str = ""


_making = Lock()


@cache
def _session() -> Any:  # noqa: ANN401
    import boto3

    return boto3.session.Session(region_name=REGION, **{name.lower(): value for name, value in credentials().items()})


class LocalS3:
    """A server. `requests` is what it was asked; a request for which `failing` answers true gets 503, `denying` 403.

    Each of `listeners` is told what was created and removed, after it happened and before the caller hears of it.
    """

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._server: BaseWSGIServer | None = None
        self.requests: list[S3Request] = []
        self.failing: Callable[[S3Request], bool] | None = None
        self.denying: Callable[[S3Request], bool] | None = None
        self.listeners: list[Callable[[S3Change], None]] = []

    @property
    def endpoint(self) -> str:
        """The address that S3 clients are given."""
        return f"http://{LOOPBACK}:{self._port}"

    def start(self) -> None:
        """Serve from a thread; on the same port as before after `stop`. OSError when the port is taken."""
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        class Quiet(MotoRequestHandler):
            def log_request(self, *args: object) -> None:
                """Stay quiet: `requests` is the record."""

        app = self._watch(DomainDispatcherApplication(create_backend_app))
        with socket.create_server((LOOPBACK, self._port)) as bound:  # werkzeug itself would end the process
            where = {"host": LOOPBACK, "port": bound.getsockname()[1], "fd": bound.fileno()}
            self._server = make_server(app=app, threaded=True, request_handler=Quiet, **where)
        self._port = self._server.port
        Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on; objects stay."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def client(self, service: str = "s3") -> Any:  # noqa: ANN401
        """Return a boto3 client for it."""
        from botocore.config import Config

        with _making:  # a session reads its models of services once, and makes one client at a time
            config = Config(retries={"total_max_attempts": 2})
            return _session().client(service, endpoint_url=self.endpoint, config=config)

    @cached_property
    def _own(self) -> Any:  # noqa: ANN401
        """A client costs 30 ms, and a test makes a bucket each."""
        return self.client()

    def create_bucket(self, name: str) -> str:
        """Create a versioned bucket, if there is none of that name yet, and return its name."""
        self._own.create_bucket(Bucket=name)
        self._own.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Tell no listener of what is done meanwhile."""
        listeners, self.listeners = self.listeners, []
        try:
            yield
        finally:
            self.listeners = listeners

    def _watch(self, app: WSGIApplication) -> WSGIApplication:
        def watched(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path = str(environ.get("RAW_URI") or environ["PATH_INFO"]).partition("?")[0]
            caller = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition("/")[0]
            request = S3Request(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), time.time(), caller)
            self.requests.append(request)
            if self.failing is not None and self.failing(request):
                return _refused("503 Slow Down", _SLOW_DOWN, environ, start_response)
            if self.denying is not None and self.denying(request):
                return _refused("403 Forbidden", _DENIED, environ, start_response)
            return self._tell(app, request, environ, start_response) if self.listeners else app(environ, start_response)

        return watched

    def _tell(
        self, app: WSGIApplication, request: S3Request, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        from werkzeug.test import Client, run_wsgi_app

        sent = {
            name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name[:5] == "HTTP_"
        }
        parts, status, headers = run_wsgi_app(app, environ, buffered=True)
        body = b"".join(parts)
        got = {name.lower(): value for name, value in headers}
        changes = changes_of(request.method, request.path, request.query, sent, got, body) if status[0] == "2" else []
        for change in changes:
            if change.name.startswith("ObjectCreated"):
                # Asked of moto itself, so that it is not among `requests`.
                head = Client(app).head(request.path, base_url=self.endpoint, headers=_SIGNED).headers
                size, etag = int(head["Content-Length"]), head["ETag"].strip('"')
                change = replace(change, size=size, etag=etag, version_id=head.get("x-amz-version-id", ""))
            for listener in self.listeners:
                listener(change)
        start_response(status, list(headers))
        return [body]


def _refused(status: str, body: bytes, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]
