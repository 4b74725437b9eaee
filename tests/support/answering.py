"""HTTP servers on the loopback that answer by a function: what stands in for AWS's endpoints and for gateways."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, make_server

from local.web import RequestHandler, Server

if TYPE_CHECKING:
    from collections.abc import Iterator


class Answering:
    """Every method of every path is answered by `answer`."""

    def __init__(self) -> None:
        place = self

        class Handler(RequestHandler):
            def answered(self) -> None:
                place.answer(self)

            do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = answered  # noqa: N815 - http.server's names

        self._server = Server(Handler)
        self.address = self._server.address
        self.url = f"http://{self.address}"

    def answer(self, asked: RequestHandler) -> None:
        """One request."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def serving(application: Any) -> Iterator[str]:
    """The address of a WSGI application."""
    with make_server("127.0.0.1", 0, application, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
