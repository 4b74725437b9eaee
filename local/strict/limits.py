"""Lambda's limits that are the same for every function, and the environment's size.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.function import Function

MAX_FILES = 1024
"""File descriptors."""
MAX_TASKS = 1024
"""Processes and threads together."""
MAX_ENVIRONMENT_BYTES = 4096
CORE_MB = 1769
"""At this memory a function has one whole core ("Configure Lambda function memory")."""


class StrictError(Exception):
    """A function that Lambda would not create; the text says why."""


def check_environment(function: Function) -> None:
    """StrictError when the function's own variables are over Lambda's 4 KB, measured as JSON, as Lambda does."""
    size = len(json.dumps(dict(function.environment), separators=(",", ":")).encode())
    if size > MAX_ENVIRONMENT_BYTES:
        raise StrictError(
            f"{function.name}: its environment variables have {size} bytes, at most {MAX_ENVIRONMENT_BYTES} are allowed"
        )


def cores(memory_mb: int) -> float:
    """The CPU that comes with the memory, in cores."""
    return memory_mb / CORE_MB
