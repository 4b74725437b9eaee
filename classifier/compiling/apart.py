"""Work in a process of its own: what it leaves in memory goes with the process, and a crash is no riddle.

TensorFlow and a model's graph hold several hundred megabytes for as long as their process lives, and its converter ends
the whole process where it meets what it did not expect.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import traceback
from typing import TYPE_CHECKING

from classifier.errors import ClassifierError, ModelError, ModelTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection


def apart[Result](work: Callable[[], Result]) -> Result:
    """What `work()` returns or raises, in a forked process; the result must be picklable.

    This process may not have TensorFlow's threads: a fork has none of them. ModelError if the process crashes, and
    ModelTooLargeError if it is killed, as a process is that has no memory left.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, theirs))
    process.start()
    theirs.close()
    try:
        result, error, cause = ours.recv()
    except EOFError:
        process.join()
        raise _crash(process.exitcode or 0) from None
    finally:
        ours.close()
    process.join()
    if error is not None:
        raise error from cause
    return result  # type: ignore[no-any-return]


def _run(work: Callable[[], object], theirs: Connection) -> None:
    try:
        theirs.send((work(), None, None))
    except (ClassifierError, MemoryError, OSError) as error:
        short = MemoryError(str(error.__cause__)) if isinstance(error.__cause__, MemoryError) else None
        theirs.send((None, error, short))
    except Exception as error:  # noqa: BLE001 - its class may be TensorFlow's, which only this process has
        theirs.send((None, RuntimeError(f"{error!r}\n{traceback.format_exc()}"), None))
    sys.stdout.flush()


def _crash(code: int) -> ModelError:
    if code == -signal.SIGKILL:
        return ModelTooLargeError("compiling was killed, as a process is that has no memory left")
    return ModelError(f"compiling crashed with {signal.Signals(-code).name if code < 0 else f'status {code}'}")
