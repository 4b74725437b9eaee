"""Turn installed requirements and a zip of our own code into the deployment package, and write package-report.json."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Parse the command line, build, and say what came out. 1 when the package is over a limit or does not work."""
    from tools.packaging.packer import build, check, pack, sbom

    parser = argparse.ArgumentParser(prog="packer", description=__doc__)
    parser.add_argument("--installed", type=Path, required=True, help="folder of installed requirements")
    parser.add_argument("--service-zip", type=Path, required=True, help="zip of our own code")
    parser.add_argument("--output", type=Path, required=True, help="the package to write; may be the service zip")
    parser.add_argument("--work", type=Path, default=Path("build"), help="folder for the cache and the report")
    parser.add_argument("--level", choices=sorted(pack.LEVELS), default="quick")
    parser.add_argument("--ephemeral-mb", type=int, default=512, help="smallest ephemeralStorageSize of the functions")
    parser.add_argument("--machine", choices=("x86_64", "aarch64"), default="x86_64", help="of the functions")
    parser.add_argument("--packs", type=Path, help="put the pack into this folder, under its digest, not into the zip")
    parser.add_argument("--report", default="package-report.json", help="the report's name in the work folder")
    arguments = vars(parser.parse_args(argv))
    name = arguments.pop("report")
    order = build.Order(**arguments)
    order.work.mkdir(parents=True, exist_ok=True)
    try:
        report = build.build(order)
    except (check.PackageError, sbom.SbomError) as error:
        print(f"packer: {error}", file=sys.stderr)
        return 1
    target = order.work / name
    target.write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    print(f"  {report['unzipped_bytes']:,} of {report['limit_bytes']:,} bytes unzipped; report in {target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
