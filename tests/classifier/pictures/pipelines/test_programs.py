"""The programs that LiteRT runs for the pipelines."""

from __future__ import annotations

import pytest

from classifier.errors import ClassifierError
from classifier.pictures.pipelines.programs import ProgramError, running


def test_a_program_that_does_not_run_is_our_fault_and_not_the_pictures() -> None:
    with (
        pytest.raises(ProgramError, match=r"^programs\.py for \(\): LiteRtCreateModelFromBuffer") as raised,
        running("programs.py"),
    ):
        pass
    assert not isinstance(raised.value, ClassifierError)
