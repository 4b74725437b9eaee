"""What a function is: the part of serverless.yml that decides how its sandboxes run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from local.account import ACCOUNT, REGION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.event_bridge import EventRule
    from local.s3_changes import S3Trigger


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
