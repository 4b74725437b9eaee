"""Every link of every page leads to a file or a heading that exists, as GitHub would make the anchor."""

from __future__ import annotations

import html
import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING

import pytest

from local.launch import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

FENCED = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
NAMED = re.compile(r"\bdocs/[\w./-]+\.md(?:#[\w-]+)?")
"""How code, comments and messages name a page."""


@cache
def tracked() -> tuple[str, ...]:
    """Every file that git knows or would add."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, check=True)
    return tuple(name for name in done.stdout.splitlines() if (PROJECT / name).is_file())


PAGES = [PROJECT / name for name in tracked() if name.endswith(".md")]
CODE = [PROJECT / name for name in tracked() if name.endswith((".py", ".js", ".mjs", ".yml")) or "scripts/" in name]


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading: its text in lower case without marks, blanks as hyphens."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    """Every anchor of a page; a heading that comes again gets a number, as on GitHub."""
    seen: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?)(?: +#+)?$", FENCED.sub("", page.read_text()), re.MULTILINE):
        name = slug(heading)
        found.add(f"{name}-{seen[name]}" if name in seen else name)
        seen[name] = seen.get(name, 0) + 1
    return frozenset(found)


def broken(page: Path, targets: list[str]) -> list[str]:
    """Those of a page's links that lead nowhere; links to other sites must at least be https."""
    wrong = []
    for target in targets:
        if re.match(r"[\w.+-]+:", target):
            if not target.startswith("https://"):
                wrong.append(target)
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and (file.suffix != ".md" or anchor not in anchors(file.resolve()))):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = [html.unescape(target) for target in LINK.findall(FENCED.sub("", page.read_text()))]
    assert broken(page, targets) == []


def test_every_page_that_code_names_exists() -> None:
    named = {(path, target) for path in CODE for target in NAMED.findall(path.read_text())}
    assert len(named) > 10
    assert [(path.name, target) for path, target in sorted(named) if broken(PROJECT / "README.md", [target])] == []


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("Deploy", "deploy"),
        ("503: model_loading", "503-model_loading"),
        ("`preprocessing` in serving.json", "preprocessing-in-servingjson"),
        ("Pack: why zstd, in frames of 32 MB", "pack-why-zstd-in-frames-of-32-mb"),
        ("Why [Keras](https://keras.io)?", "why-keras"),
        ("What is promised, and - mostly - held", "what-is-promised-and---mostly---held"),
    ],
)
def test_anchors_are_made_as_github_makes_them(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One\n\n## Two `x`\n\n## Two `x`\n\n```\n## Not one\n```\n")
    right = ["#one", "#two-x", "#two-x-1", "page.md", "page.md#one", "https://example.com/#any"]
    wrong = ["#three", "#two-x-2", "#not-one", "gone.md", "page.md#gone", "http://example.com"]
    assert broken(page, right + wrong) == wrong


def test_the_readme_is_one_screens_worth_of_reading() -> None:
    text = (PROJECT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert len(text.split()) <= 900
