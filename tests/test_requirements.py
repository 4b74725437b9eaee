"""What is packed is needed: each requirement says which module imports it, and that module does."""

from __future__ import annotations

import re

import pytest

from local.launch import PROJECT
from tests.support.imports import imports_of

LINES = (PROJECT / "requirements.in").read_text().partition("\n# A tool of")[0].splitlines()
NEEDED = {re.split("[;= ]", line)[0]: line.partition("  # ")[2] for line in LINES if line and not line.startswith("#")}
IMPORTED = {"tensorflow-cpu": "tensorflow", "pillow": "PIL", "ai-edge-litert": "ai_edge_litert"}


def test_every_requirement_names_its_module() -> None:
    assert len(NEEDED) > 4
    assert all(re.fullmatch(r"[\w/]+\.py", module) for module in NEEDED.values()), NEEDED


@pytest.mark.parametrize("name", NEEDED)
def test_the_module_that_a_requirement_names_imports_it(name: str) -> None:
    roots = {one.module.partition(".")[0] for one in imports_of(PROJECT / NEEDED[name]) if not one.typing_only}
    assert IMPORTED.get(name, name) in roots
