"""Compare what is packaged with the known faults of its versions: 1, and a line for each, when there is one.

A fault fails unless docs/internals/security-advisories.md says "accepted in VERSION". `--update` asks OSV first.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.advisories import export, osv

if TYPE_CHECKING:
    from collections.abc import Sequence

SBOM = export.PAGE.parents[2] / ".serverless" / "keras-classifier.cdx.json"


def main(argv: Sequence[str]) -> int:
    """0 when every packaged version is free of known faults, or they are accepted."""
    parser = argparse.ArgumentParser(prog="scripts/advisories", description=__doc__)
    parser.add_argument(
        "sbom", nargs="?", type=Path, default=SBOM, help="CycloneDX; default: what scripts/package wrote"
    )
    parser.add_argument(
        "--update", action="store_true", help="ask OSV, and write tools/advisories/advisories.json anew"
    )
    options = parser.parse_args(argv)
    try:
        packaged, known = export.components(options.sbom), export.read()
        if options.update:
            known = osv.updated(known, [name for ecosystem, name, _ in packaged if ecosystem == "PyPI"])
            export.FILE.write_text(osv.rendered(known))
    except export.AdvisoriesError as error:
        print(f"scripts/advisories: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"scripts/advisories: OSV did not answer: {error}", file=sys.stderr)
        return 1
    return judge(packaged, known["advisories"], export.PAGE.read_text())


def judge(packaged: Sequence[tuple[str, str, str]], records: Sequence[export.Record], page: str) -> int:
    """Say what was found; 1 when something is neither fixed nor accepted."""
    found, excused = export.findings(packaged, records), export.accepted(page)
    open_ones = [each for each in found if (each.advisory, each.version) not in excused]
    for each in open_ones:
        print(each, file=sys.stderr)
    answered = len(found) - len(open_ones)
    print(
        f"{len(packaged)} components, {len(records)} advisories: {len(open_ones)} to mend, {answered} accepted in "
        f"{export.PAGE.relative_to(export.PAGE.parents[2])}."
    )
    return 1 if open_ones else 0
