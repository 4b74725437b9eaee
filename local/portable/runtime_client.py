"""Stands in for the C part of AWS's runtime client, which is built for Linux only: the same four functions.

Only this folder is put on a sandbox's path, and only elsewhere than on Linux.
"""

from __future__ import annotations

import http.client
import os
from typing import Any

_API = "/2018-06-01/runtime/invocation"
_state: dict[str, Any] = {}


def initialize_client(user_agent: str) -> None:
    """Remember how to introduce ourselves."""
    _state["headers"] = {"User-Agent": user_agent}


def next() -> tuple[bytes, dict[str, Any]]:  # noqa: A001 - the name that is called
    """Wait for an event; its body and its headers."""
    reply, body = _request("GET", f"{_API}/next", None, {})
    headers: dict[str, Any] = dict(reply.getheaders())
    headers["Lambda-Runtime-Deadline-Ms"] = int(headers["Lambda-Runtime-Deadline-Ms"])
    return body, headers


def post_invocation_result(request_id: str, body: bytes, content_type: str, _: str | None = None) -> None:
    """Send the reply to an event."""
    _request("POST", f"{_API}/{request_id}/response", body, {"Content-Type": content_type})


def post_error(request_id: str, body: str, xray_fault: str, _: str | None = None) -> None:
    """Send the error that an event ended in."""
    headers = {"Content-Type": "application/json", "Lambda-Runtime-Function-XRay-Error-Cause": xray_fault}
    _request("POST", f"{_API}/{request_id}/error", body.encode(), headers)


def _request(
    method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        connection.request(method, path, body, {**_state["headers"], **headers})
        reply = connection.getresponse()
        answer = reply.read()
    finally:
        connection.close()
    if reply.status >= 300:
        raise RuntimeError(f"{method} {path} answered {reply.status}")
    return reply, answer
