"""Measured phases."""

from __future__ import annotations

import pytest

from classifier.phases import Phases


def test_phases_keep_their_order_and_end_with_the_total() -> None:
    phases = Phases()
    with phases.measure("fetch"):
        pass
    with phases.measure("decode"):
        pass
    with phases.measure("fetch"):
        pass
    timings = phases.finish()
    assert list(timings) == ["fetch", "decode", "total"]
    assert timings["total"] >= timings["fetch"] >= 0


def test_a_phase_that_fails_is_measured_too() -> None:
    phases = Phases()
    with pytest.raises(ValueError, match="no"), phases.measure("fetch"):
        raise ValueError("no")
    assert "fetch" in phases.finish()
