"""What the local Lambda's own tests run: each event says what to do."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

CALLS = {"n": 0}


def notice(event: dict[str, Any], _: Any) -> None:
    """Log an S3 event; fail for keys that end in `fail`, busy for a while with those that end in `slow`."""
    for record in event["Records"]:
        details = record["s3"]["object"]
        print("NOTICED", json.dumps([record["eventName"], record["s3"]["bucket"]["name"], details]))
        if details["key"].endswith("slow"):
            time.sleep(1)
        if details["key"].endswith("fail"):
            raise ValueError(details["key"])


def handle(event: dict[str, Any], context: Any) -> Any:
    """Do what `event["do"]` says; without it, return the event itself."""
    CALLS["n"] += 1
    tmp = Path(os.environ["TMPDIR"])
    match event.get("do"):
        case "exit":
            os._exit(3)
        case "sleep":
            (tmp / "slept").write_text("began")
            time.sleep(event["seconds"])
        case "fail":
            raise ValueError("as asked")
        case "large":
            return {"text": "x" * event["bytes"]}
        case "look":
            return {
                "calls": CALLS["n"],
                "pid": os.getpid(),
                "tmp": sorted(path.name for path in tmp.iterdir()),
                "path": sys.path,
                "environ": dict(os.environ),
                "remaining_ms": context.get_remaining_time_in_millis(),
            }
        case "say":
            print(event["text"])
        case "reply":
            return event["payload"]
    return event


def answer(event: dict[str, Any], context: Any) -> Any:
    """Do what the request's JSON body says; without a JSON body, reply with the event."""
    kind = next((value for name, value in event["headers"].items() if name.lower() == "content-type"), "")
    if kind != "application/json":
        return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}
    body = base64.b64decode(event["body"]) if event["isBase64Encoded"] else event["body"]
    return handle(json.loads(body), context)
