"""API Gateway's HTTP API and Lambda's Function URLs: payload 2.0.

Sources: docs.aws.amazon.com, "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway" and "Invoking Lambda
function URLs".
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from local.account import ACCOUNT, REGION
from local.fronts.http import HttpReply, HttpRequest, headers_of, json_message, parameters, reply_parts, request_time


@dataclass(frozen=True, slots=True)
class HttpApi:
    """API Gateway's HTTP API, payload 2.0. A named `stage` is the first part of the path, as it is there."""

    stage: str = "$default"
    max_body_bytes: int = 10 * 1024 * 1024
    timeout_s: float = 30.0

    def event(self, request: HttpRequest) -> dict[str, Any]:
        """Return a payload 2.0 event."""
        body, is_base64 = request.body_text()
        cookies = [part.strip() for part in request.header("cookie").split(";") if part.strip()]
        query: dict[str, str] = {}
        for name, value in parameters(request.query):
            query[name] = f"{query[name]},{value}" if name in query else value
        forwarded = {
            "x-forwarded-for": request.client,
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
            "x-amzn-trace-id": f"Root=1-{int(time.time()):08x}-{request.request_id.replace('-', '')[:24]}",
        }
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": request.path,
            "rawQueryString": request.query,
            **({"cookies": cookies} if cookies else {}),
            "headers": request.joined(without=("cookie", "connection", "transfer-encoding")) | forwarded,
            **({"queryStringParameters": query} if query else {}),
            "requestContext": self._context(request),
            **({"body": body} if request.body else {}),
            "isBase64Encoded": is_base64,
        }

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        return {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": request.host,
            "domainPrefix": request.host.partition(".")[0],
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.client,
                "userAgent": request.header("user-agent"),
            },
            "requestId": request.request_id,
            "routeKey": "$default",
            "stage": self.stage,
            **request_time(),
        }

    def reply(self, payload: object) -> HttpReply:
        """Pass the reply on; a payload without statusCode is a JSON body of status 200."""
        if not isinstance(payload, dict) or "statusCode" not in payload:
            body = payload if isinstance(payload, str) else json.dumps(payload)
            return HttpReply(200, (("Content-Type", "application/json"),), body.encode())
        known, status, raw = reply_parts(payload)
        headers = headers_of(known) + [("Set-Cookie", str(cookie)) for cookie in known.get("cookies") or []]
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", "text/plain;charset=UTF-8"))
        return HttpReply(status, tuple(headers), raw)

    def failure(self, situation: str) -> HttpReply:
        """HTTP APIs say little: a failed function is a 500, a busy or slow one a 503."""
        if situation == "too_large":
            return json_message(413, "Request Entity Too Large")
        if situation == "failed":
            return json_message(500, "Internal Server Error")
        return json_message(503, "Service Unavailable")


@dataclass(frozen=True, slots=True)
class FunctionUrl(HttpApi):
    """A Function URL: payload 2.0, bodies of 6 MB, and no time limit but the function's."""

    max_body_bytes: int = 6 * 1024 * 1024
    timeout_s: float = 900.0

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        context = HttpApi._context(self, request)  # noqa: SLF001 # super() fails in a slotted dataclass
        return context | {"authentication": None, "domainName": f"local.lambda-url.{REGION}.on.aws"}

    def failure(self, situation: str) -> HttpReply:
        """A failed function is a 502."""
        if situation == "too_large":
            return json_message(
                413, "Request must be smaller than 6291456 bytes for the InvokeFunction operation", "Message"
            )
        if situation == "throttled":
            return json_message(429, "Rate Exceeded.", "Message")
        if situation == "timed_out":
            return json_message(504, "Gateway Timeout", "Message")
        return HttpReply(502, (("Content-Type", "application/json"),), b"Internal Server Error")
