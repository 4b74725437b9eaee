"""Events as AWS sends them, recorded or written after its documentation."""

import json
from typing import Any

from local.launch import PROJECT

FOLDER = PROJECT / "tests" / "data" / "events"


def recorded(name: str, **changes: Any) -> dict[str, Any]:
    """A recorded event with some fields replaced."""
    event: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return event | changes
