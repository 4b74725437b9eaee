"""LocalStack's process, as far as it goes without LocalStack: scripts/deploy_check --stack localstack is the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.stack import server
from local.stack.server import LocalStack

if TYPE_CHECKING:
    from pathlib import Path


def test_a_localstack_that_ends_at_once_is_an_error_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "listening on $GATEWAY_LISTEN: no such module"\nexit 1\n')
    python.chmod(0o755)
    (tmp_path / server.PINS[0]).touch()
    monkeypatch.setattr(server, "HOME", tmp_path)
    aws = LocalStack()
    folder = aws.sandboxes.parent
    with pytest.raises(OSError, match=r"did not start:\nlistening on 127\.0\.0\.1:\d+: no such module"):
        aws.start()
    aws.stop()
    assert not folder.exists()
