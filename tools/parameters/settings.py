"""Say what is wrong with variables of the settings table, which may be given as parameters: {name: value} on stdin.

A program of its own, as the plugin is JavaScript and the settings are read by Python. Prints a JSON list of sentences.
"""

from __future__ import annotations

import json
import sys
from difflib import get_close_matches
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from classifier.settings import Settings


def problems(given: dict[str, str]) -> list[str]:
    """One sentence for each variable that is none, or whose value can't be read."""
    known = {variable.name: variable for variable in Settings.variables().values()}
    found = []
    for name, value in given.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            found.append(f"there is no setting {name}" + (f": the nearest is {near[0]}" if near else ""))
            continue
        try:
            known[name].parse(value)
        except ValueError:
            found.append(f"{name}={value}: expected {known[name].expected}")
    return found


if __name__ == "__main__":
    print(json.dumps(problems(json.load(sys.stdin))))
