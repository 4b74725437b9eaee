"""Runs inside LocalStack's own Python: starts it with an executor that hands each event to the local Lambda.

LocalStack's executor needs Docker. This one asks the Invoke API at the address that the file named by SANDBOXES holds.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import requests
from localstack.runtime import main
from localstack.services.lambda_.invocation import runtime_executor
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

LONGEST_S = 905


class SandboxExecutor(RuntimeExecutor):  # type: ignore[misc]
    """One of LocalStack's execution environments; the sandbox itself is the local Lambda's to start and to reuse."""

    def start(self, env_vars: dict[str, str]) -> None:
        """Nothing is started ahead of the first event."""

    def stop(self) -> None:
        """The local Lambda stops its own."""

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        return "http://127.0.0.1"

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Run one event."""
        address = Path(os.environ["SANDBOXES"]).read_text()
        url = f"{address}/2015-03-31/functions/{self.function_version.id.function_name}/invocations"
        reply = requests.post(url, data=payload["payload"], timeout=LONGEST_S)
        failed = "X-Amz-Function-Error" in reply.headers or reply.status_code >= 300
        logs = base64.b64decode(reply.headers.get("X-Amz-Log-Result", "")).decode()
        return InvocationResult(payload["invoke-id"], reply.content, is_error=failed, logs=logs)

    def get_logs(self) -> str:
        return ""

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:  # noqa: ANN401 - LocalStack's
        """The local Lambda has the code already."""

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:  # noqa: ANN401 - LocalStack's
        """Nothing was prepared."""


if __name__ == "__main__":
    # Before LocalStack's other modules are imported, which take it from there by name.
    runtime_executor.get_runtime_executor = lambda: SandboxExecutor
    main.main()
