"""The promises of the security pages name tests and files that exist."""

from __future__ import annotations

import re
from functools import cache

import pytest
from packaging.version import Version

from classifier.settings import Settings, SettingsError
from local.launch import PROJECT

INTERNALS = PROJECT / "docs" / "internals"
PAGES = ("security.md", "security-links.md", "security-advisories.md")


@cache
def defined() -> frozenset[str]:
    """Every test function."""
    texts = (path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    return frozenset(name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE))


def rows(page: str) -> list[str]:
    lines = (INTERNALS / page).read_text().splitlines()
    return [line for line in lines if line.startswith("|") and "`" in line]


@pytest.mark.parametrize("page", PAGES)
def test_tests_and_files_that_a_promise_names_exist(page: str) -> None:
    text = "\n".join(rows(page))
    names = set(re.findall(r"`(test_\w+)`", text))
    files = set(re.findall(r"`((?:classifier|tests)/[\w/]+(?:\.py)?)`", (INTERNALS / page).read_text()))
    assert names
    assert files
    assert names - defined() == set()
    assert [name for name in files if not (PROJECT / name).exists()] == []


def advisories(library: str) -> list[list[str]]:
    """The rows of a library's table: CVE, what, fixed in, whether it reaches us, why."""
    table = (INTERNALS / "security-advisories.md").read_text().partition(f"<!-- {library}:")[2].partition("\n\n")[0]
    lines = [line for line in table.splitlines() if re.match(r"\| (?:CVE|GHSA)-", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("library", ["keras", "pillow"])
def test_no_pinned_version_is_older_than_a_fix(library: str) -> None:
    pins = (PROJECT / "requirements.txt").read_text()
    pinned = re.search(rf"^{library}==([\d.]+)", pins, re.MULTILINE)
    assert pinned
    rows = advisories(library)
    assert len(rows) > 10
    fixes = {row[0]: row[2].partition(",")[0] for row in rows}
    assert [cve for cve, fix in fixes.items() if Version(pinned[1]) < Version(fix)] == []


@pytest.mark.parametrize("library", ["keras", "pillow"])
def test_every_known_fault_says_whether_it_reaches_us_and_names_a_test(library: str) -> None:
    rows = advisories(library)
    assert {row[3] for row in rows} <= {"no", "fixed"}
    assert [row[0] for row in rows if not re.search(r"`test_\w+`", row[4])] == []


@pytest.mark.parametrize("name", ["DDS", "EPS", "FITS", "FPX", "GD", "MCIDAS", "PDF", "PSD", "SPIDER", "WMF"])
def test_formats_with_known_faults_can_not_be_allowed(name: str) -> None:
    with pytest.raises(SettingsError, match="IMAGE_FORMATS"):
        Settings.from_env({"MODEL_BUCKET": "b", "IMAGE_FORMATS": f"JPEG,{name}"})


def test_every_promise_names_a_test() -> None:
    promises = (INTERNALS / "security.md").read_text().partition("<!-- promises:")[2].partition("\n## ")[0]
    found = [line.strip("|").split("|") for line in promises.splitlines() if line.startswith("| ")][1:]
    assert len(found) > 10
    assert [cells[0] for cells in found if not re.search(r"`(?:test_\w+|tests/[\w/]+\.py)`", cells[2])] == []
