"""The programs kept beside the pipelines are what the tool makes."""

from __future__ import annotations

import pytest

from tools.pixels.programs import FOLDER, PROGRAMS


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_kept_is_what_the_tool_makes(name: str) -> None:
    assert (FOLDER / name).read_bytes() == PROGRAMS[name]()
