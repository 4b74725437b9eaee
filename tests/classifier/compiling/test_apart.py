"""Work in a process of its own: results, errors and crashes come back, and nothing of it stays here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from classifier.compiling.apart import apart
from classifier.errors import ModelError, ModelTooLargeError
from local.launch import PROJECT
from tests.support.demo import BUNDLE


def test_a_result_comes_back_and_changes_stay_there() -> None:
    here = [1]

    def work() -> list[int]:
        here.append(os.getpid())
        return here

    there = apart(work)

    assert here == [1]
    assert there[0] == 1
    assert there[1] != os.getpid()


def test_an_error_comes_back_whole() -> None:
    def work() -> None:
        try:
            raise MemoryError("no room")
        except MemoryError as error:
            raise ModelTooLargeError("of 9 GB", public="Too large.", needed_mb=9000) from error

    with pytest.raises(ModelTooLargeError, match="of 9 GB") as caught:
        apart(work)

    assert (caught.value.public, caught.value.needed_mb) == ("Too large.", 9000)
    assert isinstance(caught.value.__cause__, MemoryError)


def test_an_error_whose_class_is_not_known_here_comes_back_as_text() -> None:
    class OddError(Exception):
        pass

    def work() -> None:
        raise OddError("of its own kind")

    with pytest.raises(RuntimeError, match=r"OddError\('of its own kind'\)\nTraceback"):
        apart(work)


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        (signal.SIGTERM, ModelError, "crashed with SIGTERM"),
        (signal.SIGKILL, ModelTooLargeError, "was killed, as a process is that has no memory left"),
        (None, ModelError, "crashed with status 3"),
    ],
)
def test_a_crash_is_an_error_that_names_it(code: signal.Signals | None, error: type[ModelError], said: str) -> None:
    def work() -> None:
        if code is None:
            os._exit(3)
        os.kill(os.getpid(), code)

    with pytest.raises(error, match=said):
        apart(work)


COMPILE = """
import hashlib, json, sys
from pathlib import Path
from classifier.compiling import compiler
from lifecycle.release import as_bundle
from local.seed import read_bundle

report, files = compiler.compile_bundle(as_bundle(read_bundle(Path(sys.argv[1]))), [], memory=3 << 30)
is_whole = report.model_sha256 == hashlib.sha256(files["float32"]).hexdigest()
print(json.dumps([report.usable, is_whole, "tensorflow" in sys.modules]))
"""


@pytest.mark.tensorflow
def test_a_function_compiles_without_importing_tensorflow_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(BUNDLE)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [True, True, False]
