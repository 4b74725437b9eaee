"""Class activation maps by LiteRT: the head that the compile function made, before the model that serves.

Opened by the first request that asks, and kept as long as the model. What can't be had is no error: other ways explain.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from classifier import logs, model_memory, temporary
from classifier.engines.litert_engine import LiteRtEngine, thread_count
from classifier.errors import ClassifierError, ModelError

if TYPE_CHECKING:
    from collections.abc import Buffer, Callable

    from classifier.explaining.grids import Grid

RETRY_S = 60.0
"""When a head that could not be had is asked for again."""
HEAD_TIMEOUT_S = 5.0


class _Form:
    """An opened form and the size of its map; or, without one, when to try again (time.monotonic())."""

    def __init__(self, engine: LiteRtEngine | None, retry_at: float = math.inf) -> None:
        self.engine, self.retry_at = engine, retry_at


_FORMS: WeakKeyDictionary[LiteRtEngine, _Form] = WeakKeyDictionary()


def local_logits(
    engine: object, read_head: Callable[[float], bytes] | None, picture: Buffer, unit: int, deadline: float
) -> Grid | None:
    """The logit of one output unit that each place of the last feature map would have alone; their mean is the logit.

    None for a model that has no such form, or whose form can't be had now. `deadline` by time.monotonic().
    """
    if read_head is None or not isinstance(engine, LiteRtEngine):
        return None
    form = _FORMS.get(engine)
    if form is None or time.monotonic() >= form.retry_at:
        form = _FORMS[engine] = _opened(engine, read_head, deadline)
    if form.engine is None:
        return None
    numbers = form.engine.predict(picture)
    _, rows, columns, units = form.engine.output_shape
    mine = numbers[unit::units].tolist()
    if not all(map(math.isfinite, mine)):
        return None
    return [mine[row * columns : (row + 1) * columns] for row in range(rows)]


def _opened(engine: LiteRtEngine, read_head: Callable[[float], bytes], deadline: float) -> _Form:
    try:
        # As for two: what only explains must not take the room that the next model is loaded into beside this one.
        model_memory.LITERT.check(2 * len(engine.data), model_memory.stated())
        head = read_head(min(deadline, time.monotonic() + HEAD_TIMEOUT_S))
        with temporary.file(len(head) + len(engine.data)) as file:
            file.write(head)
            file.write(engine.data)
            temporary.give_back(engine.data)
            form = LiteRtEngine(temporary.content(file), thread_count())
        if len(form.output_shape) != 4:
            raise ModelError(f"the form that explains puts out {form.output_shape}")
    except (ClassifierError, RuntimeError, ValueError, OSError) as error:
        logs.emit("warning", "there is no class activation map now, occlusion explains", error=error)
        return _Form(None, time.monotonic() + RETRY_S)
    return _Form(form)
