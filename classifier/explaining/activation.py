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
from classifier.records import Record

if TYPE_CHECKING:
    from array import array
    from collections.abc import Buffer, Callable

    from classifier.explaining.grids import Grid

    type Numbers = array[float]

RETRY_S = 60.0
"""When a head that could not be had is asked for again."""
HEAD_TIMEOUT_S = 5.0


class Places(Record):
    """The logits that each place of the last feature map would have alone: float32, (rows, columns, units), flat."""

    numbers: Numbers
    rows: int
    columns: int
    units: int

    def of(self, unit: int) -> Grid | None:
        """Those of one output unit, whose mean is its logit; None if one of them is not finite."""
        mine = self.numbers[unit :: self.units].tolist()
        if not all(map(math.isfinite, mine)):
            return None
        return [mine[row * self.columns : (row + 1) * self.columns] for row in range(self.rows)]


class _Form:
    """An opened form and the size of its map; or, without one, when to try again (time.monotonic())."""

    def __init__(self, engine: LiteRtEngine | None, retry_at: float = math.inf) -> None:
        self.engine, self.retry_at = engine, retry_at


_FORMS: WeakKeyDictionary[LiteRtEngine, _Form] = WeakKeyDictionary()


def answer(
    engine: object, read_head: Callable[[float], bytes] | None, picture: Buffer, deadline: float
) -> tuple[Numbers, Places] | None:
    """What the engine's own `predict` gives for a picture, and what its places add to that, of one run.

    None for a model that has no such form, or whose form can't be had now. `deadline` by time.monotonic().
    """
    if read_head is None or not isinstance(engine, LiteRtEngine):
        return None
    form = _FORMS.get(engine)
    if form is None or time.monotonic() >= form.retry_at:
        form = _FORMS[engine] = _opened(engine, read_head, deadline)
    if form.engine is None:
        return None
    raw, numbers = form.engine.outputs(picture)
    _, rows, columns, units = form.engine.output_shapes[1]
    return raw, Places(numbers, rows, columns, units)


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
        if [len(shape) for shape in form.output_shapes[1:]] != [4]:
            raise ModelError(f"the form that explains puts out {form.output_shapes}")
    except (ClassifierError, RuntimeError, ValueError, OSError) as error:
        logs.emit("warning", "there is no class activation map now, occlusion explains", error=error)
        return _Form(None, time.monotonic() + RETRY_S)
    return _Form(form)
