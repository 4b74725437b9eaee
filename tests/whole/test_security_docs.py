"""The promises of the security pages name tests and files that exist."""

from __future__ import annotations

import re
from functools import cache

import pytest

from classifier.settings import Settings, SettingsError
from local.launch import PROJECT
from tools.advisories import export

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
    """The rows of a library's table: CVEs, what, whether it reaches us, why."""
    table = (INTERNALS / "security-advisories.md").read_text().partition(f"<!-- {library}:")[2].partition("\n\n")[0]
    lines = [line for line in table.splitlines() if re.match(r"\| (?:CVE|GHSA)-", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("library", ["keras", "pillow"])
def test_every_known_fault_since_2024_has_its_row_and_each_row_its_fault(library: str) -> None:
    records = [each for each in export.read()["advisories"] if each["affected"][0]["package"]["name"] == library]
    names = [{each["id"], *each.get("aliases", [])} for each in records]
    answered = {cve.strip() for row in advisories(library) for cve in row[0].split(",")}
    assert len(answered) > 10
    assert answered - set().union(*names) == set()
    recent = [each for each in names if any(re.match(r"CVE-202[4-9]", name) for name in each)]
    assert [each for each in recent if not each & answered] == []


@pytest.mark.parametrize("library", ["keras", "pillow", "hdf5"])
def test_every_known_fault_says_whether_it_reaches_us_and_names_a_test(library: str) -> None:
    rows = advisories(library)
    assert {re.sub(r"accepted in [\d.]+$", "accepted", row[2]) for row in rows} <= {"no", "fixed", "accepted"}
    assert [row[0] for row in rows if not re.search(r"`test_\w+`", row[3])] == []


@pytest.mark.parametrize("name", ["DDS", "EPS", "FITS", "FPX", "GD", "MCIDAS", "PDF", "PSD", "SPIDER", "WMF"])
def test_formats_with_known_faults_can_not_be_allowed(name: str) -> None:
    with pytest.raises(SettingsError, match="IMAGE_FORMATS"):
        Settings.from_env({"MODEL_BUCKET": "b", "IMAGE_FORMATS": f"JPEG,{name}"})


def test_every_promise_names_a_test() -> None:
    promises = (INTERNALS / "security.md").read_text().partition("<!-- promises:")[2].partition("\n## ")[0]
    found = [line.strip("|").split("|") for line in promises.splitlines() if line.startswith("| ")][1:]
    assert len(found) > 10
    assert [cells[0] for cells in found if not re.search(r"`(?:test_\w+|tests/[\w/]+\.py)`", cells[2])] == []
