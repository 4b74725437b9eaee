"""What an invocation cost, in the form of Lambda's REPORT line."""

from __future__ import annotations

import math
from dataclasses import dataclass

_STATUSES = {
    "error": "Status: error\tError Type: Unhandled",
    "timeout": "Status: timeout",
    "crash": "Status: error\tError Type: Runtime.ExitError",
}
"""As Lambda ends the line: "Understanding the Lambda execution environment lifecycle"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One invocation. `init_ms` is None when the sandbox was warm; `status` is success, error, timeout or crash."""

    request_id: str
    function: str
    sandbox: str
    status: str
    duration_ms: float
    init_ms: float | None
    memory_mb: int
    max_memory_mb: int

    @property
    def billed_ms(self) -> int:
        """Milliseconds that Lambda bills: INIT counts since August 2025."""
        return math.ceil(self.duration_ms + (self.init_ms or 0.0))

    def __str__(self) -> str:
        parts = [
            f"REPORT RequestId: {self.request_id}",
            f"Duration: {self.duration_ms:.2f} ms",
            f"Billed Duration: {self.billed_ms} ms",
            f"Memory Size: {self.memory_mb} MB",
            f"Max Memory Used: {self.max_memory_mb} MB",
        ]
        if self.init_ms is not None:
            parts.append(f"Init Duration: {self.init_ms:.2f} ms")
        if self.status != "success":
            parts.append(_STATUSES[self.status])
        return "\t".join(parts)
