"""Which commands have TensorFlow installed first, and that the others start without it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from local import framework, supply
from local.launch import PROJECT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["publish", "cats.keras", "--to", "dev"], True),
        (["verify", "dev"], True),
        (["export", "--as", "tflite", "--out", "a"], True),
        (["list", "dev"], False),
        (["rollback", "dev"], False),
        (["promote", "--from", "dev", "--to", "prod"], False),
        (["publish", "--help"], False),
        ([], False),
    ],
)
def test_only_verbs_that_load_a_model_need_keras(arguments: list[str], needed: bool) -> None:
    assert supply.needed_by(arguments) is needed


@pytest.fixture
def failing_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever Node.js is asked for, it fails."""
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\nexit 1\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_what_is_there_is_not_installed_again(capfd: pytest.CaptureFixture[str]) -> None:
    supply.install("A test needs it.")
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("failing_node")
def test_what_cannot_be_installed_is_an_error_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supply, "is_there", lambda: False)
    with pytest.raises(supply.SupplyError, match="could not be installed"):
        supply.install("A model is loaded with Keras.", to=sys.stderr)
    assert capfd.readouterr() == (
        "",
        "A model is loaded with Keras. TensorFlow is needed for that, and is installed now.\n",
    )


@pytest.mark.usefixtures("failing_node")
def test_a_framework_that_cannot_be_installed_is_an_error_in_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "serverless.yml").write_text("service: other\n")
    with pytest.raises(
        framework.TemplateError, match=r"^serverless\.yml can't be read: the Serverless Framework could"
    ):
        framework.stated("dev", tmp_path)
    assert capfd.readouterr().err.startswith("serverless.yml is not the one that was shipped")


@pytest.mark.parametrize("name", ["models", "train_demo"])
def test_a_fresh_clone_is_told_what_to_run_first(tmp_path: Path, name: str) -> None:
    (tmp_path / "scripts").mkdir()
    for file in (name, "own_python.py"):
        shutil.copy(PROJECT / "scripts" / file, tmp_path / "scripts" / file)
    command = [sys.executable, "-E", "-S", str(tmp_path / "scripts" / name), "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr == f"{name}: run `npm run setup` first, which installs what this needs into the project's folder.\n"
    )
