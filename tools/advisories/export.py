"""advisories.json: known faults of what is packaged, in OSV's form (https://ossf.github.io/osv-schema/).

Where OSV files an advisory by commits (C libraries), the ecosystem is "generic", as in a package URL. `sources` says
where the records came from and when; docs/internals/security-advisories.md says what they mean for this service.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FILE = Path(__file__).with_name("advisories.json")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "internals" / "security-advisories.md"
ACCEPTED = "accepted in "
"""How a row of the page says that a version is packaged although it has the fault."""

Record = dict[str, Any]


class AdvisoriesError(Exception):
    """The bill of materials or the export can't be read; the text says why."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A version in the package that an advisory is about."""

    library: str
    version: str
    advisory: str
    fixed: str
    summary: str

    def __str__(self) -> str:
        return f"{self.library} {self.version}: {self.advisory} ({self.summary}); fixed in {self.fixed}"


def read(path: Path = FILE) -> dict[str, Any]:
    """The export. Raises AdvisoriesError."""
    return _json(path, "advisories")


def components(path: Path) -> list[tuple[str, str, str]]:
    """Ecosystem, name and version of each component of a CycloneDX file. Raises AdvisoriesError."""
    found = []
    for component in _json(path, "components")["components"]:
        kind, _, rest = str(component.get("purl", "")).removeprefix("pkg:").partition("/")
        name, _, version = rest.partition("@")
        if version:
            found.append(({"pypi": "PyPI"}.get(kind, kind), name, version))
    if not found:
        raise AdvisoriesError(f"{path} names no component with a version")
    return found


def _json(path: Path, must_have: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except OSError as error:
        raise AdvisoriesError(f"{path}: {error.strerror}. scripts/package writes it.") from error
    except ValueError as error:
        raise AdvisoriesError(f"{path} is no JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get(must_have), list):
        raise AdvisoriesError(f'{path} has no list "{must_have}"')
    return document


def findings(packaged: Iterable[tuple[str, str, str]], records: Iterable[Record]) -> list[Finding]:
    """Every packaged version that an advisory is about."""
    by_package: dict[tuple[str, str], list[tuple[Record, Mapping[str, Any]]]] = {}
    for record in records:
        for affected in record["affected"]:
            key = affected["package"]["ecosystem"], affected["package"]["name"]
            by_package.setdefault(key, []).append((record, affected))
    found = {
        Finding(name, version, record["id"], fix, record.get("summary", ""))
        for ecosystem, name, version in packaged
        for record, affected in by_package.get((ecosystem, name), ())
        if (fix := fix_of(version, affected)) is not None
    }
    return sorted(found)


def fix_of(version: str, affected: Mapping[str, Any]) -> str | None:
    """The version that mends the fault in `version`; "no version" if none does; None if it has no fault.

    OSV's rule (https://ossf.github.io/osv-schema/#evaluation): the last event at or before the version decides.
    """
    try:
        given = Version(version)
    except InvalidVersion:
        given = Version(version.partition("-")[0])  # an RPM's release, as in 1.0.9-3.el8
    for one in affected["ranges"]:
        if one["type"] == "GIT":
            continue
        events = sorted(((Version(each), kind) for event in one["events"] for kind, each in event.items()))
        state = ""
        for at, kind in events:
            if at < given or (at == given and kind != "last_affected"):
                state = kind
        if state == "introduced":
            return next((str(at) for at, kind in events if at > given and kind == "fixed"), "no version")
    return None


def accepted(page: str) -> set[tuple[str, str]]:
    """Advisory and version of each row of the page that says `accepted in VERSION`."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    return {
        (advisory.strip(), cells[2].removeprefix(ACCEPTED))
        for cells in rows
        if len(cells) > 2 and cells[2].startswith(ACCEPTED)
        for advisory in cells[0].split(",")
    }
