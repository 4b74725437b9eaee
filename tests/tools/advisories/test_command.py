"""What is pinned has no known fault, and what had one is refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from local.launch import PROJECT
from tests.support.answering import Answering
from tools.advisories import command, export, osv

if TYPE_CHECKING:
    from pathlib import Path

    from local.web import RequestHandler

RECORDS = export.read()["advisories"]


def sbom(folder: Path, *purls: str) -> Path:
    path = folder / "a.cdx.json"
    path.write_text(json.dumps({"components": [{"purl": purl} for purl in purls]}))
    return path


def pinned() -> list[str]:
    text = (PROJECT / "requirements.txt").read_text()
    return [f"pkg:pypi/{name}@{version}" for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)]


def test_nothing_pinned_has_a_known_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([str(sbom(tmp_path, *pinned()))]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("purl", "line"),
    [
        ("pkg:pypi/pillow@10.0.0", "pillow 10.0.0: PYSEC-2023-175"),
        (
            "pkg:pypi/pillow@12.3.0",
            "pillow 12.3.0: CVE-2026-112403 (the JPEG decoder writes past a tile); fixed in 13.0.0",
        ),
        ("pkg:pypi/keras@3.11.2", "keras 3.11.2: CVE-2025-49655"),
        ("pkg:pypi/numpy@1.18.0", "numpy 1.18.0: PYSEC-2021-856"),
        ("pkg:pypi/tensorflow-cpu@2.11.0", "tensorflow-cpu 2.11.0: CVE-2023-25801"),
        ("pkg:pypi/tensorflow@2.12.0", "tensorflow 2.12.0: CVE-2023-33976"),
        ("pkg:generic/hdf5@1.14.2", "hdf5 1.14.2: CVE-2018-11202"),
        ("pkg:generic/libwebp@1.3.1", "libwebp 1.3.1: CVE-2023-4863 (heap buffer overflow in the lossless decoder)"),
    ],
)
def test_an_old_version_is_refused_by_a_line_for_each_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], purl: str, line: str
) -> None:
    assert command.main([str(sbom(tmp_path, *pinned(), purl))]) == 1
    said = capsys.readouterr().err.splitlines()
    name, _, version = purl.rpartition("/")[2].partition("@")
    assert any(each.startswith(line) for each in said), said
    assert [each for each in said if not each.startswith(f"{name} {version}: ")] == []


def test_what_the_page_accepts_is_accepted_in_that_version_only(tmp_path: Path) -> None:
    assert command.main([str(sbom(tmp_path, "pkg:generic/hdf5@1.14.6"))]) == 0
    assert command.main([str(sbom(tmp_path, "pkg:generic/hdf5@1.14.5"))]) == 1


@pytest.mark.parametrize(
    ("events", "version", "fix"),
    [
        ([{"introduced": "0"}, {"fixed": "2.0"}], "1.9", "2.0"),
        ([{"introduced": "0"}, {"fixed": "2.0"}], "2.0", None),
        ([{"introduced": "1.5"}, {"fixed": "2.0"}], "1.4.9", None),
        ([{"introduced": "1.5"}, {"fixed": "2.0"}], "1.5", "2.0"),
        ([{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "1.10"}, {"fixed": "1.10.3"}], "1.9", None),
        ([{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "1.10"}, {"fixed": "1.10.3"}], "1.10.2", "1.10.3"),
        ([{"introduced": "0"}, {"last_affected": "3.0"}], "3.0", "no version"),
        ([{"introduced": "0"}, {"last_affected": "3.0"}], "3.0.1", None),
        ([{"introduced": "0"}], "9", "no version"),
        ([{"introduced": "0"}, {"fixed": "1.0.10"}], "1.0.9-3.el8", "1.0.10"),
    ],
)
def test_the_last_event_at_or_before_a_version_decides(events: list[Any], version: str, fix: str | None) -> None:
    """OSV's own rule; "1.10" comes after "1.9"."""
    assert export.fix_of(version, {"ranges": [{"type": "ECOSYSTEM", "events": events}]}) == fix


def test_every_record_says_what_it_is_and_where_it_came_from() -> None:
    sources = export.read()["sources"]
    assert len(RECORDS) > 200
    assert [one["id"] for one in RECORDS if one["database_specific"]["source"] not in sources] == []
    assert [one["id"] for one in RECORDS if not re.match(r"(CVE|GHSA|PYSEC)-", one["id"])] == []
    assert len({(one["id"], one["affected"][0]["package"]["name"]) for one in RECORDS}) == len(RECORDS)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "No such file or directory. scripts/package writes it."),
        ("{", "is no JSON"),
        ("[]", 'has no list "components"'),
        ('{"components": []}', "names no component with a version"),
    ],
)
def test_an_unreadable_bill_of_materials_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, sentence: str
) -> None:
    path = tmp_path / "a.cdx.json"
    if text is not None:
        path.write_text(text)
    assert command.main([str(path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert sentence in said


class Osv(Answering):
    """Answers as OSV's API does, a record a page."""

    def answer(self, asked: RequestHandler) -> None:
        question = json.loads(asked.read_body(10_000))
        ranges = [
            {"type": "GIT", "events": [{"introduced": "0"}]},
            {"type": "ECOSYSTEM", "events": [{"introduced": "0"}]},
        ]
        record = {
            "modified": "2026-01-02T00:00:00Z",
            "details": "long",
            "affected": [{"package": question["package"], "ranges": ranges}],
        }
        pages: dict[str | None, dict[str, Any]] = {
            None: {"vulns": [{"id": "GHSA-1", "aliases": ["CVE-2025-1"], **record}], "next_page_token": "second"},
            "second": {
                "vulns": [{"id": "PYSEC-2", **record}, {"id": "PYSEC-3", "withdrawn": "2026-01-03T00:00:00Z", **record}]
            },
        }
        body = json.dumps(pages[question.get("page_token")] if question["package"]["name"] == "keras" else {}).encode()
        asked.send(200, [], body)


def test_what_osv_says_takes_the_place_of_what_was_known_by_the_same_name() -> None:
    def known(name: str, package: str) -> dict[str, Any]:
        return {"id": name, "affected": [{"package": {"ecosystem": "generic", "name": package}, "ranges": []}]}

    before = {
        "sources": {"releases": "by hand"},
        "advisories": [known("CVE-2025-1", "keras"), known("CVE-2025-2", "hdf5")],
    }
    with Osv() as server:
        after = osv.updated(before, ["keras", "numpy", "keras"], api=f"{server.url}/v1/query")
    assert [one["id"] for one in after["advisories"]] == ["CVE-2025-2", "GHSA-1", "PYSEC-2"]
    assert after["advisories"][1] == {
        "id": "GHSA-1",
        "aliases": ["CVE-2025-1"],
        "modified": "2026-01-02T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "keras"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
            }
        ],
        "database_specific": {"source": "osv"},
    }
    assert set(after["sources"]) == {"releases", "osv"}
    assert json.loads(osv.rendered(after)) == after


def test_the_file_is_as_an_update_would_write_it() -> None:
    assert export.FILE.read_text() == osv.rendered(export.read())
