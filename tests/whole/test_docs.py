"""Documentation that disagrees with the code fails here: tables, routes, commands, parameters, metrics, links."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import pytest

from classifier import errors
from classifier.app import App
from classifier.metrics import METRICS
from classifier.settings import Settings
from local.launch import PROJECT
from tests.support.framework import needs_framework

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

README = (PROJECT / "README.md").read_text()
PAGES = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(page for name in ("docs", "examples") for page in sorted((PROJECT / name).rglob("*.md"))),
]
TEMPLATE = (PROJECT / "serverless.yml").read_text()
FRAMEWORK = PROJECT / "node_modules" / "serverless" / "lib" / "cli" / "commands-schema" / "aws-service.js"
OURS = r"(?:scripts/[a-z_]+\b|npm (?:run )?[a-z]+\b|npx [a-z]+ )"
"""How a command of this project begins."""
DOCS = PROJECT / "docs"
API, SETTINGS = ((DOCS / "reference" / name).read_text() for name in ("api.md", "settings.md"))
LOGS, DEPLOY = ((DOCS / "operate" / name).read_text() for name in ("logs.md", "deploy.md"))


def table(name: str, page: str) -> list[tuple[str, ...]]:
    """The rows of the table after the comment that begins with `name`, without head and code marks."""
    _, _, rest = page.partition(f"<!-- {name}:")
    lines = rest.partition("-->")[2].strip().split("\n\n")[0].splitlines()[2:]
    return [
        tuple(cell.strip().replace("`", "").replace("\\", "") for cell in line.strip("|").split("|")) for line in lines
    ]


def test_the_settings_table_is_what_the_code_reads() -> None:
    def default(value: str | None) -> str:
        return "(needed)" if value is None else value or "(empty)"

    assert table("settings", SETTINGS) == [
        (variable.name, default(variable.default), variable.meaning) for variable in Settings.variables().values()
    ]


def test_the_error_table_is_the_error_tree() -> None:
    def tree(kind: type[errors.ClassifierError]) -> Iterator[tuple[str, ...]]:
        yield (str(kind.status), kind.code, kind.text)
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from tree(child)

    rows = table("errors", API)
    assert [row[:3] for row in rows] == sorted(set(tree(errors.ClassifierError)))
    assert [row for row in rows if not re.fullmatch(r"\[.+\]\(../troubleshooting.md#.+\)", row[3])] == []


def test_the_services_address_is_called_the_same_on_every_page() -> None:
    """ENDPOINT; an address as AWS gives them is in the first reply that is shown, and where the word is explained."""
    shown = {page.relative_to(PROJECT).as_posix() for page in PAGES if "execute-api." in page.read_text()}
    assert shown == {"README.md", "docs/use/calling.md"}
    assert [
        page.name for page in PAGES if re.search(r"\$(URL|ENDPOINT|HOST)\b|<(endpoint|url)>", page.read_text())
    ] == []


def test_every_route_is_in_the_reference_and_nothing_else() -> None:
    nothing = cast("Any", None)
    everything = {"MODEL_BUCKET": "b", "IMAGE_BUCKET": "i", "EXAMPLES_PREFIX": "examples/"}
    app = App(Settings.from_env(everything), nothing, nothing, 0.0, nothing, captures=cast("Any", object()))
    section = API.partition("## Requests")[2].partition("| parameter |")[0]
    told = {
        (verb, path)
        for verb, path in re.findall(r"`(GET|POST) (/[a-z.]*)(?=[?`])", section)
        if not path.startswith("/v1")
    }
    assert told == {(verb, path) for path, verbs in app._routes.table.items() for verb in verbs}


def commands() -> list[str]:
    """Every command of ours in the pages: in a block, in a fence, or in a sentence; and in the workflows."""
    found = {
        command
        for path in (PROJECT / ".github").rglob("*.yml")
        for command in re.findall(rf"^ *- run: ({OURS}.*)", path.read_text(), re.MULTILINE)
    }
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for line in text.splitlines():
            block = re.match(rf"(?:    |\$ )?({OURS}.*)", line)
            found |= {block[1]} if block else set(re.findall(rf"`({OURS}[^`]*)`", line))
    return sorted(re.sub(r"\s+(#.*)?$", "", command) for command in found)


@cache
def help_of(*command: str) -> str:
    done = subprocess.run([sys.executable, *command, "--help"], cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stdout


@cache
def framework() -> dict[str, list[str]]:
    """The framework's commands and the options of each, short ones too."""
    code = f"""
        const schema = require({json.dumps(str(FRAMEWORK))});
        const names = ([name, option]) => [`--${{name}}`, ...(option.shortcut ? [`-${{option.shortcut}}`] : [])];
        const all = [...schema].map(([name, one]) => [name, Object.entries(one.options ?? {{}}).flatMap(names)]);
        console.log(JSON.stringify(Object.fromEntries(all)));"""
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    return cast("dict[str, list[str]]", json.loads(done.stdout))


def given_options(words: list[str]) -> set[str]:
    return {word.partition("=")[0].strip("[]") for word in words if re.match(r"\[?--?[a-z]", word)} - {"--help"}


@pytest.mark.parametrize("command", [command for command in commands() if not command.startswith("np")])
def test_scripts_in_the_documentation_exist_with_their_options(command: str) -> None:
    name, *words = shlex.split(command)
    assert (PROJECT / name).is_file()
    verb = words[:1] if name == "scripts/models" and words and words[0] != "VERB" else []
    text = help_of(name, *verb)
    if name == "scripts/bench" and words and words[0] != "NAME":
        assert words[0] in text
    assert {option for option in given_options(words) if not re.search(rf"{option}\b", text)} == set()


@pytest.mark.parametrize("command", [command for command in commands() if command.startswith("npm")])
def test_npms_commands_in_the_documentation_exist_with_their_options(command: str) -> None:
    _, verb, *words = shlex.split(command)
    name = words[0] if verb == "run" else verb
    assert name in {*json.loads((PROJECT / "package.json").read_text())["scripts"], "ci", "cache"}
    if verb == "start":  # which takes publish's options, too
        known = help_of("-m", "local") + help_of("scripts/models", "publish")
        assert {option for option in given_options(words) if not re.search(rf"{option}\b", known)} == set()


@needs_framework
@pytest.mark.parametrize("command", [command for command in commands() if command.startswith("npx")])
def test_the_frameworks_commands_in_the_documentation_exist_with_their_options(command: str) -> None:
    _, tool, verb, *words = shlex.split(command)
    settings = {variable.name for variable in Settings.variables().values()}
    assert tool == "serverless"
    assert given_options(words) <= set(framework()[verb])
    assert set(re.findall(r"--param (\w+)=", command)) <= parameters() | settings


def test_no_command_is_overlooked() -> None:
    assert {command.split()[0] for command in commands()} >= {"npm", "npx", "scripts/models", "scripts/package"}
    assert len(commands()) > 30


def parameters() -> set[str]:
    section = TEMPLATE.partition("  default:\n")[2].partition("  prod:\n")[0]
    return set(re.findall(r"^    (\w+):", section, re.MULTILINE))


def test_parameters_and_their_documentation_are_the_same() -> None:
    told = DEPLOY.partition("| to | set |")[2].partition("\n## ")[0]
    names = set(re.findall(r"`([a-z]\w+)(?:=[\w-]+)?`", told)) - {"classify", "compile", "bulk", "http", "none"}
    assert names == parameters()


def test_kinds_of_api_in_the_documentation_are_the_templates() -> None:
    told = set(re.findall(r"`api=([\w-]+)`", DEPLOY))
    assert told | {"http"} == set(re.findall(r"^    ([a-z-]+):(?: &\w+)?\n      (?:events|<<)", TEMPLATE, re.MULTILINE))


def test_the_metrics_table_is_what_the_log_carries() -> None:
    told = {(tuple(by.split()), name) for names, by, _ in table("metrics", LOGS) for name in re.findall(r"\w+", names)}
    assert told == {(by, name) for by, names in METRICS.items() for name in names}


def test_alarms_in_the_documentation_are_the_templates() -> None:
    told = LOGS.partition("## Metrics")[2]
    alarms = set(re.findall(r"^    (\w+Alarm):$", TEMPLATE, re.MULTILINE))
    assert set(re.findall(r"^\| (\w+Alarm)", told, re.MULTILINE)) == alarms


by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())


@cache
def sources() -> str:
    """Everything that is run, as one text."""
    folders = [
        path for path in PROJECT.iterdir() if path.is_dir() and path.name not in ("build", "docs", "node_modules")
    ]
    inside = [path for folder in folders if folder.name[0] != "." for path in folder.rglob("*")]
    kept = [
        path
        for path in [*PROJECT.iterdir(), *inside]
        if path.suffix in (".py", ".js", ".mjs", ".yml") and path.is_file()
    ]
    return "\n".join(path.read_text() for path in kept)


@by_page
def test_variables_and_tests_in_the_documentation_are_in_the_code(page: Path) -> None:
    text = page.read_text()
    named = {
        *re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)[`=]", text),
        *re.findall(r"`(?:tests/[\w/]+\.py::)?(test_\w+)`", text),
    }
    assert {name for name in named if not re.search(rf"\b{name}\b", sources())} == set()


@by_page
def test_files_in_the_documentation_exist(page: Path) -> None:
    folders = "classifier|lifecycle|local|tools|scripts|tests|examples|docs"
    named = set(re.findall(rf"`((?:{folders})/[\w./-]+)`", page.read_text()))
    assert {name for name in named if not (PROJECT / name).exists()} == set()


def test_the_change_that_is_walked_through_fits_the_code() -> None:
    diffs = re.findall(r"^ *```diff\n(.*?)^ *```", (PROJECT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.strip() for diff in diffs for line in diff.splitlines()]
    assert len(lines) >= 5
    assert [line for line in lines if line[0] != "+" and line.lstrip("- ") not in sources()] == []
    assert [line for line in lines if line[0] == "+" and line.lstrip("+ ") in sources()] == []


TROUBLE = (DOCS / "troubleshooting.md").read_text()


def test_codes_in_the_troubleshooting_are_errors_of_ours() -> None:
    codes = {kind.code for kind in vars(errors).values() if hasattr(kind, "code")}
    told = set(re.findall(r"^\| ((?:`[a-z0-9_]+`(?:, )?)+) \|", TROUBLE, re.MULTILINE))
    named = {code for cell in told for code in re.findall(r"`(\w+)`", cell)}
    assert len(named) > 15
    assert named - codes == set()


def test_what_npm_start_is_said_to_say_is_what_it_says() -> None:
    section = TROUBLE.partition("### npm start fails")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ") and "`" in line]
    said = [phrase.removeprefix("... ") for cell in cells for phrase in re.findall(r"`([^`]+)`", cell)]
    assert len(said) > 7
    number = r"(?:\$?\{[\w.]+\}|[\d.]+)"  # in the code a number is often a variable's

    def pattern(phrase: str) -> str:
        return number.join(re.escape(part) for part in re.split(r"\d[\d.]*", phrase))

    assert [phrase for phrase in said if not re.search(pattern(phrase), sources())] == []


def test_the_architecture_names_every_folder() -> None:
    page = (DOCS / "internals" / "architecture.md").read_text()
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True)
    names = [name.split("/") for name in listed.stdout.splitlines()]
    root = {name[0] for name in names if len(name) > 1 and name[0][0] != "."}
    inside = {name[1] for name in names if name[0] == "classifier" and len(name) > 2}
    rows = re.findall(r"^\| `([\w/]+)/` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(root | inside)


def test_the_index_has_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"README.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


def test_measured_speed_is_dated_and_names_its_hardware() -> None:
    section = README.partition("## Measured")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    assert not rows or (re.search(r"20\d\d-\d\d-\d\d", section) and "core" in section)
