"""Writes the package's bill of materials: CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), reproducible.

It names what is really in the package and in TensorFlow's pack: the Python distributions of which at least one file is
left, and the native libraries inside of them that natives.toml knows. There is no time in it, and the serial number is
derived from the rest.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import tomllib
import uuid
from collections import defaultdict
from email.parser import HeaderParser
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.packaging.packer.slim import is_shared_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

NATIVES_FILE = Path(__file__).resolve().parents[1] / "natives.toml"
PROJECT_FILE = Path(__file__).resolve().parents[3] / "package.json"
IDENTITY = uuid.UUID("5b1c8a4e-4f8e-5d0b-9a43-6f0f5f7ac9d1")
"""The namespace of our serial numbers."""
PLACES = ("package", "pack")

Component = dict[str, Any]


class SbomError(RuntimeError):
    """Something is in the package that nobody has named; the text says what and where to name it."""


def components(installed: Path, staged: Mapping[str, tuple[Path, list[str]]]) -> list[Component]:
    """What of `installed` was staged: by place ("package", "pack") the folder, and its paths as in `installed`.

    Raises SbomError for a vendored library without a row in natives.toml.
    """
    table = tomllib.loads(NATIVES_FILE.read_text())
    owners, places = _owners(installed), defaultdict[Path, set[str]](set)
    natives: dict[str, Component] = {}
    for place, (folder, paths) in staged.items():
        for path in paths:
            owner = owners.get(path)
            if owner is None or path.startswith(f"{owner.name}/"):
                continue  # of its metadata alone nothing runs
            places[owner].add(place)
            if is_shared_object(path) and (folder / path).exists():
                for found in _natives(folder, path, owner, table["library"], place):
                    _add(natives, found)
    distributions = [_distribution(folder, at, installed, table["licences"]) for folder, at in places.items()]
    return [*sorted(distributions, key=_reference), *sorted(natives.values(), key=_reference)]


def _reference(component: Component) -> str:
    return str(component["bom-ref"])


def _owners(installed: Path) -> dict[str, Path]:
    """The dist-info folder by each file that pip installed with it."""
    owners: dict[str, Path] = {}
    for record in sorted(installed.glob("*.dist-info/RECORD")):
        with record.open(newline="") as lines:
            owners |= {row[0]: record.parent for row in csv.reader(lines)}
    return owners


def _distribution(folder: Path, places: set[str], installed: Path, licences: Mapping[str, str]) -> Component:
    name, version = _identity(folder)
    locked = _locked(installed / "requirements.txt", name)
    return {
        "type": "library",
        "bom-ref": _purl(name, version),
        "name": name,
        "version": version,
        **_licences(_metadata(folder), licences),
        "purl": _purl(name, version),
        "properties": [*_in(places), *({"name": "requirements.txt:sha256", "value": each} for each in locked)],
    }


def _metadata(folder: Path) -> Message:
    return HeaderParser().parsestr((folder / "METADATA").read_text())


def _identity(folder: Path) -> tuple[str, str]:
    """Name and version of a distribution, the name as package indexes write it (PEP 503)."""
    about = _metadata(folder)
    return re.sub(r"[-_.]+", "-", about["Name"]).lower(), about["Version"]


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def _in(places: set[str]) -> list[dict[str, str]]:
    return [{"name": "place", "value": place} for place in PLACES if place in places]


def _licences(about: Message, known: Mapping[str, str]) -> dict[str, Any]:
    """As SPDX's expression where the metadata says so, or says what natives.toml translates; else in its own words."""
    if expression := about["License-Expression"]:
        return {"licenses": [{"expression": expression}]}
    said = [about["License"], *(each for each in about.get_all("Classifier", []) if each.startswith("License ::"))]
    said = [each.strip() for each in said if each and each.strip()]
    for each in said:
        if re.fullmatch(r"(MIT|MPL-2\.0|Apache-2\.0|MPL-2\.0 AND MIT)", each) or each in known:
            return {"licenses": [{"expression": known.get(each, each)}]}
    return {"licenses": [{"license": {"name": said[0].splitlines()[0]}}]} if said else {}


def _locked(requirements: Path, name: str) -> list[str]:
    """The SHA-256 that requirements.txt allows for a distribution's wheels: pip has compared them."""
    text = requirements.read_text() if requirements.is_file() else ""
    lines = re.search(rf"^{re.escape(name)}==.*(?:\n\s+--hash=.*)*", text, re.MULTILINE)
    return sorted(re.findall(r"sha256:([0-9a-f]{64})", lines[0])) if lines else []


def _natives(folder: Path, path: str, owner: Path, rows: list[dict[str, Any]], place: str) -> list[Component]:
    """What one shared object holds besides its distribution's own code."""
    found = [row for row in rows if any(Path(path).match(pattern) for pattern in row["files"])]
    if not found and path.partition("/")[0].endswith(".libs"):
        raise SbomError(f"{path} is in no row of {NATIVES_FILE.name}: name the library, and where its version is")
    return [_native(row, _version(folder, path, owner, row), folder / path, path, owner, place) for row in found]


def _native(row: dict[str, Any], version: str | None, file: Path, path: str, owner: Path, place: str) -> Component:
    known = f"{row['name']}@{version}" if version else row["name"]
    return {
        "type": "library",
        "bom-ref": f"{_purl(*_identity(owner))}#{known}",
        "name": row["name"],
        **({"version": version} if version else {}),
        "licenses": [{"expression": row["licence"]}],
        "purl": f"pkg:generic/{known}",
        "properties": _in({place}),
        "components": [_file(file, path)],
    }


def _file(file: Path, path: str) -> Component:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"type": "file", "name": path, "hashes": [{"alg": "SHA-256", "content": digest}]}


def _version(folder: Path, path: str, owner: Path, row: Mapping[str, Any]) -> str | None:
    """Where the row says that it is, be it in another of its files; None if it says nothing. SbomError if not there."""
    if "wheel" in row:
        named = [each for each in _wheels_own(owner) if each["name"] == row["wheel"] and each.get("version")]
        found = str(named[0]["version"]) if named else None
    elif "file" in row:
        match = re.search(row["file"], path)
        found = match[1] if match else None
    elif "content" in row:
        files = sorted({folder / path, *(each for pattern in row["files"] for each in folder.glob(pattern))})
        found = next(filter(None, (_searched(each, row["content"].encode()) for each in files)), None)
    else:
        return None
    if found is None:
        raise SbomError(f"{path}: the version of {row['name']} is not where {NATIVES_FILE.name} says")
    return found


def _searched(file: Path, pattern: bytes) -> str | None:
    with file.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        seen = re.search(pattern, content)
        return seen[1].decode() if seen else None


def _wheels_own(owner: Path) -> list[Component]:
    """What the wheel's own bills of materials list (PEP 770)."""
    bills = [json.loads(path.read_text()) for path in sorted((owner / "sboms").glob("*.cdx.json"))]
    return [component for bill in bills for component in bill.get("components", [])]


def _add(natives: dict[str, Component], found: Component) -> None:
    """One component for all files of a library, at whatever places they are."""
    known = natives.setdefault(found["bom-ref"], found)
    if known is not found:
        known["components"] = sorted(known["components"] + found["components"], key=lambda each: str(each["name"]))
        places = {each["value"] for each in known["properties"] + found["properties"]}
        known["properties"] = _in(places)


def write(target: Path, package: Path, pack: Path, found: list[Component]) -> None:
    """Write the bill of materials of `package` and of the `pack` that it names to `target`."""
    project = json.loads(PROJECT_FILE.read_text())
    root = f"{project['name']}@{project['version']}"
    own = {
        "type": "application",
        "bom-ref": root,
        "name": project["name"],
        "version": project["version"],
        "licenses": [{"expression": project["license"]}],
        "components": [_file(package, package.name), _file(pack, pack.name)],
    }
    distributions = [each["bom-ref"] for each in found if each["purl"].startswith("pkg:pypi/")]
    inside = {
        reference: [each["bom-ref"] for each in found if each["bom-ref"].startswith(f"{reference}#")]
        for reference in distributions
    }
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": own},
        "components": found,
        "dependencies": [
            {"ref": root, "dependsOn": distributions},
            *({"ref": reference, "dependsOn": parts} for reference, parts in inside.items() if parts),
        ],
        # What TensorFlow and LiteRT link into themselves is known in part only; they don't say more.
        "compositions": [{"aggregate": "incomplete", "assemblies": distributions}],
    }
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(IDENTITY, content)}"
    target.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
