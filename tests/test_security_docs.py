"""The promises of the security pages name tests and files that exist."""

from __future__ import annotations

import re
from functools import cache

import pytest

from local.launch import PROJECT

INTERNALS = PROJECT / "docs" / "internals"
PAGES = ("security.md", "security-links.md")


@cache
def defined() -> frozenset[str]:
    """Every test function."""
    texts = (path.read_text() for path in (PROJECT / "tests").glob("test_*.py"))
    return frozenset(name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE))


def rows(page: str) -> list[str]:
    lines = (INTERNALS / page).read_text().splitlines()
    return [line for line in lines if line.startswith("|") and "`" in line]


@pytest.mark.parametrize("page", PAGES)
def test_tests_and_files_that_a_promise_names_exist(page: str) -> None:
    text = "\n".join(rows(page))
    names = set(re.findall(r"`(test_\w+)`", text))
    files = set(re.findall(r"`((?:classifier|tests)/[\w/]+(?:\.py)?)`", text))
    assert names
    assert files
    assert names - defined() == set()
    assert [name for name in files if not (PROJECT / name).exists()] == []


def test_every_promise_names_a_test() -> None:
    promises = (INTERNALS / "security.md").read_text().partition("<!-- promises:")[2].partition("\n## ")[0]
    found = [line.strip("|").split("|") for line in promises.splitlines() if line.startswith("| ")][1:]
    assert len(found) > 10
    assert [cells[0] for cells in found if not re.search(r"`(?:test_\w+|tests/test_\w+\.py)`", cells[2])] == []
