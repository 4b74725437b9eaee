"""Paths and methods: which function answers, and what a careful HTTP API says of HEAD, OPTIONS, 404 and 405."""

from __future__ import annotations

from copy import replace
from typing import TYPE_CHECKING

from classifier.errors import MethodNotAllowedError, NotFoundError
from classifier.records import Record
from classifier.web.responses import TOLD_HEADERS, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from classifier.web.events import Request

type Answer = Callable[[Exchange], Response]

PREFLIGHT_S = "86400"
ASKED_HEADERS = (
    *("accept", "authorization", "content-encoding", "content-type", "if-none-match"),
    *("x-api-key", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"),
    *("baggage", "cache-control", "sentry-trace", "traceparent", "tracestate", "x-requested-with"),
    "*",
)
"""What a page of another origin may send: what we read, what an API with a key or with IAM asks for, and whatever else.

The third line is what tracing and older libraries add without being asked. `*` stands for any header but authorization
where no credentials are sent (https://fetch.spec.whatwg.org/#http-access-control-allow-headers), and none ever may be.
`serverless.yml` has the same list where Lambda itself answers preflights.
"""
SERVING_PREFIX = "/v1/models"


class Exchange(Record):
    """One request on its way to an answer; what is put into `log` is logged with it."""

    request: Request
    request_id: str
    deadline: float
    """When the answer must be ready, by time.monotonic()."""
    cold_start: bool
    log: dict[str, object]
    unread: list[str]
    """Names of fields that nobody reads, as they are found."""


class Routes(Record):
    """Answers by path and method. `allow_origin` is who may call from a browser's page, empty for nobody else."""

    table: Mapping[str, Mapping[str, Answer]]
    allow_origin: str
    serving: Mapping[str, Answer] | None = None
    """What answers every path of TensorFlow Serving's protocol, by method."""
    caller_header: str = ""
    """One more header that a page of another origin may send: what tells callers apart."""

    def answer(self, exchange: Exchange) -> Response:
        """The route's response; NotFoundError or MethodNotAllowedError if there is none."""
        request = exchange.request
        methods = self.serving if is_serving_path(request.path) else self.table.get(request.path.rstrip("/") or "/")
        if methods is None:
            raise NotFoundError("no such path", public=f"There is nothing at {request.path.partition('?')[0][:100]}.")
        if request.method == "OPTIONS":
            own = _own(request.path, methods)
            return Response(204, {"allow": ", ".join(_allowed(own)), **self._preflight(own)})
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            raise MethodNotAllowedError(request.method[:20], _allowed(methods))
        return methods[method](exchange)

    def with_cors(self, response: Response) -> Response:
        """Any response, errors too, readable for the allowed origin's pages (https://fetch.spec.whatwg.org/#http-cors-protocol)."""
        if not self.allow_origin:
            return response
        headers = {
            "access-control-allow-origin": self.allow_origin,
            "access-control-expose-headers": ", ".join(TOLD_HEADERS),
            "timing-allow-origin": self.allow_origin,
        }
        varying = [response.headers["vary"]] if "vary" in response.headers else []
        if self.allow_origin != "*":
            varying.append("origin")
        vary = {"vary": ", ".join(varying)} if varying else {}
        return replace(response, headers={**headers, **response.headers, **vary})

    def _preflight(self, methods: Mapping[str, Answer]) -> Mapping[str, str]:
        if not self.allow_origin:
            return {}
        return {
            "access-control-allow-methods": ", ".join(_allowed(methods)),
            "access-control-allow-headers": ", ".join(filter(None, (*ASKED_HEADERS, self.caller_header.lower()))),
            "access-control-max-age": PREFLIGHT_S,
        }


def is_serving_path(path: str) -> bool:
    """Whether a path is TensorFlow Serving's protocol's, even if nothing is there; case does not count."""
    return path.lower().startswith(SERVING_PREFIX) and path[len(SERVING_PREFIX) :][:1] in ("", "/", ":")


def _own(path: str, methods: Mapping[str, Answer]) -> Mapping[str, Answer]:
    """The methods of this very path: TensorFlow Serving's clients post to a verb after a colon, and get the rest."""
    if not is_serving_path(path):
        return methods
    verb = "POST" if ":" in path.rpartition("/")[2] else "GET"
    return {method: answer for method, answer in methods.items() if method == verb}


def _allowed(methods: Mapping[str, Answer]) -> tuple[str, ...]:
    return tuple(sorted({*methods, "OPTIONS", *(("HEAD",) if "GET" in methods else ())}))
