"""The tools: what is pinned twice agrees, and npm's entry says what is wrong in a sentence."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from lifecycle import publish
from local import options
from local.launch import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

NODE = shutil.which("node")
UV = """case "$*" in
"pip sync --help") exit 0 ;;
"python find"*) exit 2 ;;
"python install"*) echo "error: Connection refused" >&2; exit 1 ;;
"venv"*) /bin/mkdir -p .venv ;;
"pip sync"*) echo "error: Failed to fetch: absl-py
  cause: tcp connect error" >&2; exit 2 ;;
esac"""
BROKEN = UV.replace(
    "error: Failed to fetch: absl-py\n  cause: tcp connect error", "Resolved 116 packages\nerror: no room"
)
NO_VENV = """case "$*" in
"-c"*) echo 3.11 ;;
"-m venv"*) echo "ensurepip is not available"; exit 1 ;;
*) echo "$0: No module named pip" >&2; exit 1 ;;
esac"""


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (PROJECT / name).read_text(), re.MULTILINE))


def test_development_uses_the_versions_that_are_deployed() -> None:
    deployed, developed = pins("requirements.txt"), pins("requirements-dev.txt")
    assert deployed
    assert {name: developed.get(name) for name in deployed} == deployed, "run: npm run lock"


def test_starting_needs_a_part_of_what_testing_needs() -> None:
    started, developed = pins("requirements-start.txt"), pins("requirements-dev.txt")
    assert started
    assert {name: developed.get(name) for name in started} == started, "run: npm run lock"
    assert not {"tensorflow-cpu", "tensorflow", "keras", "pytest"} & started.keys()


def test_the_locks_name_no_host() -> None:
    packages = json.loads((PROJECT / "package-lock.json").read_text())["packages"]
    assert [name for name, one in packages.items() if "resolved" in one] == []
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-start.txt"):
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links", (PROJECT / name).read_text())


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_an_unknown_verb_is_told_the_known_ones() -> None:
    command = ["node", "scripts/dev.mjs", "nonsense"]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (
        1,
        "Usage: node scripts/dev.mjs start|test|setup|framework|lock [arguments]\n",
    )


@pytest.mark.skipif(NODE is None, reason="needs Node")
@pytest.mark.parametrize(
    ("tools", "sentence"),
    [
        ({}, "Python 3.9 or newer is needed to begin with; no python3 was found."),
        ({"python3": "echo 3.6"}, "Python 3.9 or newer is needed to begin with; python3 is 3.6."),
        ({"python3": NO_VENV}, "this needs the package python3-venv or python3-pip.\nensurepip is not available"),
        ({"uv": UV}, "Python 3.13 is needed (it is what Lambda runs); none was found, and uv could not fetch one."),
        ({"uv": UV, "python3.13": "echo 3.13"}, "failed: the package registry did not answer. Is there a network?"),
        ({"uv": BROKEN, "python3.13": "echo 3.13"}, "failed:\nResolved 116 packages\nerror: no room"),
        ({".venv": ""}, "npm is needed, and was not found."),
    ],
    ids=["no Python", "old", "no pip", "no Python 3.13 and no network", "no network", "another reason", "no npm"],
)
def test_npms_entry_says_what_is_missing(tmp_path: Path, tools: dict[str, str], sentence: str) -> None:
    for name in ("scripts", "bin", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copytree(PROJECT / "scripts" / "dev", tmp_path / "scripts" / "dev")
    for name in ("scripts/dev.mjs", "requirements-dev.txt", "requirements-start.txt", "package-lock.json"):
        shutil.copy(PROJECT / name, tmp_path / name)
    for name, script in tools.items():
        if name == ".venv":
            wanted = (tmp_path / "requirements-dev.txt").read_bytes() + b"\0003.13"
            (tmp_path / ".venv" / ".stamp").write_text(hashlib.sha256(wanted).hexdigest())
            (tmp_path / ".venv" / "bin" / "python").touch()
        else:
            (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / "bin" / name).chmod(0o755)
    environment = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}
    command = [str(NODE), "scripts/dev.mjs", "setup"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert sentence in run.stderr
    assert ".mjs:" not in run.stderr  # no stack


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_ctrl_c_while_uv_is_installed_ends_with_a_sentence(tmp_path: Path) -> None:
    for name in ("scripts", "bin"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copytree(PROJECT / "scripts" / "dev", tmp_path / "scripts" / "dev")
    for name in ("scripts/dev.mjs", "requirements-start.txt", "requirements-dev.txt"):
        shutil.copy(PROJECT / name, tmp_path / name)
    python = tmp_path / "bin" / "python3"
    python.write_text('#!/bin/sh\ncase "$*" in -c*) echo 3.11 ;; *) echo Traceback >&2; kill -INT 0; exit 1 ;; esac\n')
    python.chmod(0o755)
    command = [str(NODE), "scripts/dev.mjs", "start"]
    environment = {"PATH": f"{tmp_path / 'bin'}:/bin", "HOME": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 1
    assert said.endswith("Stopped while installing uv 0.13.8. Run it again, and it goes on from there.\n")
    assert "Traceback" not in said
    assert not (tmp_path / "build" / "setup.lock").exists()


@pytest.mark.skipif(NODE is None, reason="needs Node")
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--prot 3450", "No option --prot; did you mean --port?"),
        ("--port 3450 --bundel=cats.keras", "No option --bundel; did you mean --bundle?"),
        ("--model cats.keras --label l.txt", "No option --label; did you mean --labels?"),
        ("--bundle cats.keras --to prod", "No option --to."),
        ("-p 3450", "No option -p."),
        ("3450", "No option before 3450; did you mean npm start -- --port 3450?"),
        ("cats.keras", "No option before cats.keras; did you mean npm start -- --model cats.keras?"),
    ],
)
def test_a_mistyped_option_of_npm_start_is_refused_before_anything_is_installed(
    tmp_path: Path, arguments: str, sentence: str
) -> None:
    for folder in ("scripts/dev", "tools/parameters"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    shutil.copy(PROJECT / "scripts" / "dev.mjs", tmp_path / "scripts" / "dev.mjs")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    command = [str(NODE), "scripts/dev.mjs", "start", *arguments.split()]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = run.stderr.splitlines()[-1]
    assert (run.returncode, said) == (1, f"{sentence} All options: npm start -- --help")
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_npms_entry_knows_the_options_of_python() -> None:
    """And that publish's own that are not taken are about a place in S3."""
    text = (PROJECT / "scripts" / "dev" / "options.mjs").read_text()
    own, published = (
        set(re.findall(r'"(-[a-z0-9-]+)"', line)) for line in re.findall(r"^const (?:OWN|PUBLISHED) = .*$", text, re.M)
    )
    assert own == {name for action in options.parser("")._actions for name in action.option_strings}
    assert published == {*options.PUBLISH}
    publisher = argparse.ArgumentParser()
    publish.add_arguments(publisher)
    taken = {name for action in publisher._actions for name in action.option_strings}
    assert taken - published == {"-h", "--help", "--to", "--canary", "--shadow", "--abort-on", "--dry-run"}
    assert published < taken


def test_any_node_can_read_the_file_that_says_which_node_is_needed() -> None:
    text = (PROJECT / "scripts" / "dev.mjs").read_text()
    assert not re.search(r"^import ", text, re.MULTILINE)
    assert text.index("process.exit(1)") < text.index('await import("./dev/main.mjs")')


@pytest.mark.skipif(NODE is None, reason="needs Node")
def test_a_second_first_start_waits_for_the_first_and_takes_over_from_a_dead_one(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "scripts" / "dev", tmp_path / "scripts" / "dev")
    program = """
        const { alone } = await import(process.argv[1]);
        await alone(async () => {
          console.log("in");
          await new Promise((resolve) => setTimeout(resolve, 700));
          console.log("out");
        });"""
    command = [str(NODE), "--input-type=module", "-e", program, str(tmp_path / "scripts" / "dev" / "lock.mjs")]
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "setup.lock").write_text("999999999")
    report = tmp_path / "report"
    with report.open("w") as file:
        both = [subprocess.Popen(command, stdout=file) for _ in range(2)]
        assert [one.wait(30) for one in both] == [0, 0]
    assert report.read_text().split() == ["in", "out", "in", "out"]
