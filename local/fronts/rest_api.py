"""API Gateway's REST API: payload 1.0.

Source: docs.aws.amazon.com, "Lambda proxy integrations in API Gateway".
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from local.account import ACCOUNT
from local.fronts.http import HttpReply, HttpRequest, headers_of, json_message, parameters, reply_parts, request_time


@dataclass(frozen=True, slots=True)
class RestApi:
    """API Gateway's REST API, payload 1.0, a `{proxy+}` resource; `*/*` is binary unless told otherwise."""

    stage: str = "dev"
    binary: bool = True
    max_body_bytes: int = 10 * 1024 * 1024
    timeout_s: float = 29.0

    def event(self, request: HttpRequest) -> dict[str, Any]:
        """Return a payload 1.0 event: every value of a repeated header or parameter, and the last of each."""
        headers: dict[str, list[str]] = {}
        for name, value in request.headers:
            headers.setdefault(name, []).append(value)
        headers |= {"X-Forwarded-For": [request.client], "X-Forwarded-Port": ["443"], "X-Forwarded-Proto": ["https"]}
        query: dict[str, list[str]] = {}
        for name, value in parameters(request.query):
            query.setdefault(name, []).append(value)
        inside = self._inside(request.path)
        body = base64.b64encode(request.body).decode() if self.binary else request.body.decode(errors="replace")
        return {
            "resource": "/{proxy+}" if inside != "/" else "/",
            "path": inside,
            "httpMethod": request.method,
            "headers": {name: values[-1] for name, values in headers.items()},
            "multiValueHeaders": headers,
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "pathParameters": {"proxy": unquote(inside[1:])} if inside != "/" else None,
            "stageVariables": None,
            "requestContext": self._context(request),
            "body": body if request.body else None,
            "isBase64Encoded": bool(request.body) and self.binary,
        }

    def _inside(self, path: str) -> str:
        stage = f"/{self.stage}"
        return path.removeprefix(stage) or "/" if path == stage or path.startswith(f"{stage}/") else path

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        came = request_time()
        return {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": request.host,
            "domainPrefix": request.host.partition(".")[0],
            "extendedRequestId": request.request_id[:16],
            "httpMethod": request.method,
            "identity": {"sourceIp": request.client, "userAgent": request.header("user-agent")},
            "path": request.path,
            "protocol": "HTTP/1.1",
            "requestId": request.request_id,
            "requestTime": came["time"],
            "requestTimeEpoch": came["timeEpoch"],
            "resourcePath": "/{proxy+}",
            "stage": self.stage,
        }

    def reply(self, payload: object) -> HttpReply:
        """Pass the reply on."""
        known, status, raw = reply_parts(payload)
        several = headers_of(known, "multiValueHeaders")
        taken = {name.lower() for name, _ in several}
        headers = several + [(name, value) for name, value in headers_of(known) if name.lower() not in taken]
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", "application/json"))
        return HttpReply(status, tuple(headers), raw)

    def failure(self, situation: str) -> HttpReply:
        """A failed function is a 502, a slow one a 504."""
        if situation == "too_large":
            return json_message(413, "Request Too Long")
        if situation == "timed_out":
            return json_message(504, "Endpoint request timed out")
        return json_message(500 if situation == "throttled" else 502, "Internal server error")
