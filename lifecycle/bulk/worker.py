"""A process that classifies parts: one line in for each, on standard input, and lines out, on standard output.

    in   {"model", "version", "endpoint", "headers", "bucket", "folder", "top", "lanes", "concurrency"}
    out  {"ready": {"version", "engine"}}
    in   {"name", "part", "keys", "skip", "careful"}
    out  {"part", "at"}                    only if careful: before each picture, that it is next
    out  {"part", "written"}               the part is in the folder; written by somebody else, if false
    out  {"failed", "exit_code"}           it can't go on

When its input ends, whoever started it is gone: it stops at once, and what was half-way leaves no trace.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from classifier.bulk.rows import as_lines
from classifier.errors import ClassifierError
from lifecycle.bulk.asking import Asker, make_asker, settled_rows
from lifecycle.bulk.folder import Folder, open_folder
from lifecycle.errors import ModelsError, PlaceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.bulk.rows import Row


@dataclass(frozen=True, slots=True)
class Voice:
    """Standard output as it was, for lines that threads write one at a time; prints of others go to standard error."""

    descriptor: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def taken(cls) -> Voice:
        descriptor = os.dup(1)
        os.dup2(2, 1)
        return cls(descriptor)

    def tell(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        with self.lock:
            while data:
                data = data[os.write(self.descriptor, data) :]


def main() -> None:
    """Work until standard input ends."""
    voice = Voice.taken()
    job = json.loads(sys.stdin.readline())
    try:
        import boto3

        folder = open_folder(job["folder"], boto3.session.Session().client("s3"))
        asker = make_asker(job, lambda told: voice.tell({"ready": told}))
    except (ClassifierError, ModelsError) as error:
        voice.tell(_failure(error))
        return
    lanes = ThreadPoolExecutor(job["lanes"], "lane")
    for line in sys.stdin:
        lanes.submit(_work, json.loads(line), asker, folder, voice)
    os._exit(0)


def _work(task: Mapping[str, Any], asker: Asker, folder: Folder, voice: Voice) -> None:
    try:
        rows = _careful(task, asker, voice) if task["careful"] else settled_rows(asker, task["keys"])
        written = folder.write(task["name"], as_lines(rows), None)
    except Exception as error:  # noqa: BLE001 - a thread's last resort: whoever waits must hear of it
        voice.tell(_failure(error))
    else:
        voice.tell({"part": task["part"], "written": written})


def _careful(task: Mapping[str, Any], asker: Asker, voice: Voice) -> list[Row]:
    """One picture after the other, each announced: a process died of this part, and the next death tells of what."""
    rows = []
    for index, key in enumerate(task["keys"]):
        if index in task["skip"]:
            error = {"code": ClassifierError.code, "message": ClassifierError.text}
            rows.append({"key": key, "error": error, "status": ClassifierError.status})
            continue
        voice.tell({"part": task["part"], "at": index})
        rows += settled_rows(asker, [key])
    return rows


def _failure(error: Exception) -> dict[str, Any]:
    if isinstance(error, ModelsError):
        return {"failed": str(error), "exit_code": error.exit_code}
    if isinstance(error, ClassifierError):
        code = ModelsError.exit_code if error.status == ClassifierError.status else PlaceError.exit_code
        return {"failed": f"{error.code}: {error}", "exit_code": code}
    return {"failed": f"{type(error).__name__}: {error}", "exit_code": ModelsError.exit_code}
