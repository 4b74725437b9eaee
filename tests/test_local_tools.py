"""The tools: what is pinned twice agrees, and npm's entry says what is wrong in a sentence."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from local.launch import PROJECT


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (PROJECT / name).read_text(), re.MULTILINE))


def test_development_uses_the_versions_that_are_deployed() -> None:
    deployed, developed = pins("requirements.txt"), pins("requirements-dev.txt")
    assert deployed
    assert {name: developed.get(name) for name in deployed} == deployed, "run: npm run lock"


def test_the_locks_name_no_host() -> None:
    packages = json.loads((PROJECT / "package-lock.json").read_text())["packages"]
    assert [name for name, one in packages.items() if "resolved" in one] == []
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links", (PROJECT / name).read_text())


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_an_unknown_verb_is_told_the_known_ones() -> None:
    command = ["node", "scripts/dev.mjs", "nonsense"]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (1, "Usage: node scripts/dev.mjs start|test|setup|lock [arguments]\n")
