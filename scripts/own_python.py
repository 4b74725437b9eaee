"""What the scripts begin with: the project's own interpreter, which has the libraries."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def use(needs: str = "") -> None:
    """Go on in the project's interpreter, unless this is it or there is none; then the project's modules are found.

    Without one, `needs` names a library that has to be there all the same.
    """
    own = ROOT / ".venv"
    python = own / "bin" / "python"
    if python.exists() and Path(sys.prefix).resolve() != own.resolve():
        os.execv(python, [str(python), *sys.argv])  # noqa: S606 - our own interpreter
    if needs and not own.exists() and not find_spec(needs):
        name = Path(sys.argv[0]).name
        sys.exit(f"{name}: run `npm run setup` first, which installs what this needs into the project's folder.")
    sys.path.insert(0, str(ROOT))
