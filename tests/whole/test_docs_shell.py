"""Commands in the documentation mean the same in bash and in zsh, and name what is to be replaced in one way."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from local.launch import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
    *sorted((PROJECT / "examples").rglob("*.md")),
]
PROGRAMS = "npm|npx|scripts/[a-z_]+|curl|aws|python|pip|unzip|cut|tar|git|rm|gunicorn|printf"
UNQUOTED = re.compile(r"""'[^']*'|"[^"]*"|\\.|(?P<special>[?*\[\]~&;|<>(){}`]|(?<=\s)#.*|…)""")
"""What a shell would take for itself outside of quotes: zsh stops at a pattern without a match, and at a `#`."""


def commands(page: Path) -> list[str]:
    """The command lines of a page, in fences of `sh`, indented, or after a `$`."""
    text = page.read_text().replace("\\\n", " ")
    fenced = [line for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.M | re.S) for line in block.splitlines()]
    rest = re.sub(r"^ *```\w*\n.*?^ *```", "", text, flags=re.M | re.S)
    prompts = re.findall(r"^\$ (.+)$", text, re.MULTILINE)
    indented = re.findall(rf"^    ((?:{PROGRAMS})\b.*)$", rest, re.MULTILINE)
    return [line.strip() for line in (*fenced, *prompts, *indented) if line.strip()]


COMMANDS = [(page.relative_to(PROJECT).as_posix(), command) for page in PAGES for command in commands(page)]
ONE_LINE = [one for one in COMMANDS if one[1].count("'") % 2 == 0]
"""Commands whose quoted JSON goes on in the next line are left out here; the page's own test runs them."""


def special(command: str) -> list[str]:
    """What of a command a shell would not hand over as it is printed."""
    return [found["special"] for found in UNQUOTED.finditer(command) if found["special"]]


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 60
    assert len(COMMANDS) - len(ONE_LINE) < 5
    assert {page for page, _ in COMMANDS} >= {"README.md", "docs/start/first-model.md", "docs/use/calling.md"}


@pytest.mark.parametrize(("page", "command"), ONE_LINE)
def test_nothing_in_a_command_is_taken_by_the_shell(page: str, command: str) -> None:
    assert special(command) in ([], [">"]), page


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_what_is_to_be_replaced_is_written_in_capitals(page: str, command: str) -> None:
    assert re.findall(r"\b(?:my|your)[-_]\w+|<\w[\w ]*>|\bxxx+", command) == [], page


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_hands_over_what_is_printed(shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    # Only what is plain words may be given to a real shell: anything else in it would be run.
    simple = [command for _, command in ONE_LINE if "$" not in command and not special(command)]
    assert len(simple) > 50
    script = "\n".join(f"printf '%s\\0' {command}" for command in simple)
    done = subprocess.run([shell, "-c", script], capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\0")[:-1] == [word for command in simple for word in shlex.split(command)]


@pytest.mark.parametrize(
    "text", ["curl http://h/classify?top=1", "scripts/package # quick", "npm start -- --set A=[x]"]
)
def test_what_zsh_would_stop_at_is_noticed(text: str) -> None:
    assert special(text)
