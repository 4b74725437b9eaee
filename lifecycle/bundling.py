"""Write whatever `publish` takes as a bundle with its compiled form into a folder: `npm start` serves it from there.

python -m lifecycle.bundling FOLDER SOURCE [publish's options]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.bundles.compiled import FOLDER, REPORT
from classifier.errors import ClassifierError
from lifecycle import publish
from lifecycle.console import Console
from lifecycle.errors import ModelsError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Write the bundle; 1 with one sentence when the source is refused."""
    folder, *rest = sys.argv[1:] if argv is None else argv
    try:
        write_bundle(Path(folder), rest)
    except (ModelsError, ClassifierError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def write_bundle(folder: Path, arguments: Sequence[str]) -> None:
    """Prepare the model as for publishing, and put what would be published into `folder`."""
    console = Console()
    prepared = publish.prepare(publish.parsed(arguments), None, console)
    release = prepared.release
    compiled = folder / FOLDER / release.version
    compiled.mkdir(parents=True)
    for name, data in release.files.items():
        (folder / name).write_bytes(data)
    for name, data in release.compiled.items():
        (compiled / name).write_bytes(data)
    if release.report is not None:
        (compiled / REPORT).write_bytes(release.report.to_json())
    for line in publish.output_lines(release.facts):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
