"""A function that has not the memory to compile says so in the report, and tries again once it has more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from classifier import function_memory
from classifier.compiling.compile_job import CompileJob
from classifier.model_memory import COMPILING, IDLE_MB, MB
from tests.support.compile_jobs import StandIn, World, soon
from tests.support.compile_jobs import compiling as compiling
from tests.support.compile_jobs import world as world


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_memory, "resident", lambda: IDLE_MB * MB)


def test_what_cannot_be_compiled_is_reported_with_both_numbers_and_the_parameter(world: World) -> None:
    job = CompileJob(world.store(), memory=512 * MB)
    done = job.run(soon())
    reason = "model_too_large: compiling needs at least 601 MB for a model of 1 MB, the function has 512 MB: "
    assert (done["usable"], done["reason"]) == (False, reason + "raise the parameter `compileMemory`")
    report = world.found()
    assert report is not None
    assert (report.usable, report.measured) == (False, {"needed_mb": 601})
    assert job.run(soon())["result"] == "compiled before"


def test_with_more_memory_it_is_compiled_after_all(world: World, compiling: StandIn) -> None:
    job = CompileJob(world.store(), memory=512 * MB)
    job.run(soon())
    assert not compiling.done
    enough = (COMPILING.base_mb + 1) * MB
    assert replace(job, memory=enough).run(soon())["usable"]
    assert compiling.memory == enough
