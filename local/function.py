"""What a function is: the part of serverless.yml that decides how its sandboxes run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.event_bridge import EventRule

ACCOUNT = "123456789012"
REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Trigger:
    """S3 events that start a function: `event` is as in a notification, `s3:ObjectCreated:*` for one."""

    bucket: str
    event: str = "s3:ObjectCreated:*"
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One Lambda function. `timeout_s` counts from the event to the reply; `concurrency` is the reserved one."""

    name: str
    handler: str
    memory_mb: int = 1024
    timeout_s: float = 6.0
    tmp_mb: int = 512
    concurrency: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    triggers: tuple[S3Trigger, ...] = ()
    rules: tuple[EventRule, ...] = ()

    @property
    def arn(self) -> str:
        """The name that Lambda would know the function by."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"
