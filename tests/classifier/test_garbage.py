"""Start-up without the garbage collector."""

from __future__ import annotations

import gc

import pytest

from classifier import garbage


def test_garbage_is_collected_again_afterwards_but_never_among_what_was_imported() -> None:
    def fail() -> None:
        with garbage.left_alone():
            assert not gc.isenabled()
            raise ImportError

    try:
        with pytest.raises(ImportError):
            fail()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()


def test_who_does_without_it_goes_on_without_it() -> None:
    gc.disable()
    try:
        with garbage.left_alone():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
