"""Loading the canary beside the model that serves; what keeps it from being loaded is its own fault and nobody else's.

Imported only where `published.json` names a canary.
"""

from __future__ import annotations

import math
import time
from copy import replace
from typing import TYPE_CHECKING

from classifier import function_memory, logs
from classifier.bundles.compiled import known_fingerprint
from classifier.errors import ClassifierError, ModelError, ModelLoadingError, ModelTooLargeError
from classifier.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from classifier.bundles.bundle import Snapshot
    from classifier.bundles.canary import Plan
    from classifier.bundles.reader import View
    from classifier.engines.opening import LoadedModel, Opener

READ_TIMEOUT_S = 60.0
RETRY_S = 5.0


class WarmCanary(Record):
    """The canary as one value, replaced in one assignment: what is asked of it, and its model once there is one."""

    plan: Plan
    model: LoadedModel | None = None
    refusal: ClassifierError | None = None
    """Why there is no model: its callers are answered by the stable one."""
    judged: tuple[object, ...] = ()
    """What `refusal` is about: the same is not tried twice."""

    @property
    def awaited(self) -> bool:
        """Whether its model may yet come."""
        return self.model is None and self.refusal is None


class CanaryKeeper:
    """Keeps what S3 says of a canary and its model. Only for the loader's thread, but for `canary`."""

    def __init__(self, opener: Opener) -> None:
        self.canary: WarmCanary | None = None
        self._opener = opener
        self._view: View | None = None
        self._spare: LoadedModel | None = None

    def follow(self, view: View) -> None:
        """Let what S3 says hold at once, before anything is loaded: shares change, and an ended canary is gone."""
        known, plan = self.canary, view.canary
        self._view, self._spare = view, known.model if known else None
        if plan is None:
            self.canary = None
            if known is not None:
                logs.emit("info", "the canary has ended", fields={"canary": known.plan.version})
        elif known is not None and known.plan.version == plan.version and known.plan.snapshot == plan.snapshot:
            self.canary = replace(known, plan=plan)
        else:
            self.canary = WarmCanary(plan)
            fields = {"canary": plan.version, "percent": plan.percent, "shadow": plan.shadow}
            logs.emit("info", "a canary has begun", fields=fields)

    def open(
        self, snapshot: Snapshot, view: View, current: LoadedModel | None, deadline: float, pulled: Callable[[], None]
    ) -> LoadedModel | None:
        """The stable model as Opener.open has it, which comes first: it gets the canary's memory where it needs that.

        A canary that was promoted is loaded already.
        """
        spare = self._spare
        if (
            spare is not None
            and spare.identity == snapshot.identity
            and (current is None or spare.identity != current.identity)
        ):
            return replace(spare, updated=snapshot.updated)
        try:
            return self._opener.open(snapshot, view, current, deadline, pulled)
        except ModelTooLargeError:
            if spare is None:
                raise
            self._spare = spare = None
            if self.canary is not None:
                self.canary = replace(self.canary, model=None)
            self._opener.forget_size(snapshot)
            return self._opener.open(snapshot, view, current, deadline, pulled)

    def load(self, stable: LoadedModel, *, in_init: bool) -> float:
        """Load the canary's model beside `stable` if it isn't loaded; in how many seconds to try again at the latest.

        INIT leaves to the first request what needs TensorFlow.
        """
        self._spare = None
        if self.canary is None or self._view is None:
            return math.inf

        def pulled() -> None:
            if in_init:
                raise ModelLoadingError("it needs TensorFlow, which the first request begins to load")

        try:
            self.canary = _loaded(self.canary, self._view, stable, self._opener, pulled)
        except ClassifierError as error:
            logs.emit(
                "warning", "the canary is not loaded yet", error=error, fields={"canary": self.canary.plan.version}
            )
            return 0.0 if in_init else RETRY_S
        return math.inf


def _loaded(
    known: WarmCanary, view: View, stable: LoadedModel, opener: Opener, pulled: Callable[[], None]
) -> WarmCanary:
    """The canary with its model, if it can be had now beside `stable`; `pulled` as of Opener.open."""
    snapshot = known.plan.snapshot
    if snapshot is None:
        return known if known.refusal else _refused(known, ModelError(known.plan.problem), ())
    judged = (frozenset((info.key, info.etag) for info in view.reports), stable.version)
    if known.model is None and known.judged == judged:
        return known
    if known.model is None and stable.version == known_fingerprint(snapshot):
        same = replace(stable, identity=snapshot.identity, updated=snapshot.updated)
        return replace(known, model=same, refusal=None)
    try:
        beside = known.model or stable
        model = opener.open(snapshot, view, beside, time.monotonic() + READ_TIMEOUT_S, pulled) or known.model
    except ModelError as error:
        function_memory.give_back()
        return _refused(known, error, judged)
    if model is not None and model is not known.model:
        fields = {"version": model.version, "engine": model.engine.name, "models_loaded": 1, "canary": model.version}
        logs.emit("info", "canary loaded", fields=fields)
    return replace(known, model=model, refusal=None if model else known.refusal)


def _refused(known: WarmCanary, error: ModelError, judged: tuple[object, ...]) -> WarmCanary:
    sentence = "the canary can't be loaded, the stable model answers its callers"
    logs.emit("warning", sentence, error=error, fields={"canary": known.plan.version, "models_refused": 1})
    return replace(known, refusal=error, judged=judged)
