"""A handler that does what must never happen, now and then; for the proof that a campaign notices it."""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

_good = importlib.import_module("loopback").classify
CALLS = {"n": 0}
DIES_AT = 5


def classify(event: Any, context: Any) -> Any:
    CALLS["n"] += 1
    reply = _good(event, context)
    if CALLS["n"] == 1:
        print(os.environ["AWS_SECRET_ACCESS_KEY"])
    if CALLS["n"] == DIES_AT:
        os._exit(1)
    return [reply, _with_another_score(reply), _without_a_model(reply)][CALLS["n"] % 3]


def _with_another_score(reply: dict[str, Any]) -> dict[str, Any]:
    body = json.loads(reply["body"])
    if "predictions" in body and isinstance(body["predictions"][0], dict):
        body["predictions"][0]["score"] += 0.01
    return reply | {"body": json.dumps(body)}


def _without_a_model(reply: dict[str, Any]) -> dict[str, Any]:
    """S3 may be the reason for this, but not in a sandbox that has answered before."""
    request_id = json.loads(reply["body"]).get("request_id")
    error = {"error": {"code": "storage_unavailable", "message": ""}, "request_id": request_id}
    return reply | {"statusCode": 503, "body": json.dumps(error)}
