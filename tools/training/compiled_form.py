"""Writes a bundle's compiled form beside it, so that `npm start` answers by LiteRT at once and needs no TensorFlow.

python -m tools.training.compiled_form examples/clothing
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from classifier.bundles.compiled import FOLDER, REPORT
from classifier.compiling.compile_job import FORM_FILES
from classifier.compiling.compiler import compile_bundle
from lifecycle.release import as_bundle
from local.seed import read_bundle


def write_compiled(folder: Path) -> Path:
    """Compile the bundle in `folder`, compare it on its sample pictures, and return the folder that was written.

    What lay in compiled/ before is removed: it was another bundle's, or older.
    """
    bundle = as_bundle(read_bundle(folder))
    pictures = [path.read_bytes() for path in sorted((folder / "samples").glob("*/*"))]
    report, forms = compile_bundle(bundle, pictures)
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    target = folder / FOLDER / report.fingerprint
    target.mkdir(parents=True)
    for form, data in forms.items():
        (target / FORM_FILES[form]).write_bytes(data)
    (target / REPORT).write_bytes(report.to_json() + b"\n")
    return target


if __name__ == "__main__":
    print(write_compiled(Path(sys.argv[1])))
